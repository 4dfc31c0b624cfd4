/** The captured packets of clients, in the order of their times. */
import { ACK, FIN, PSH, RST, SYN } from "../../../src/wire/tcp.ts";
import type { Fields } from "../packets.ts";
import { encodeOptions, type Script } from "../script.ts";

/** Clients that all do the same. */
export interface Load {
  sessions: number;
  /** us between the starts of two sessions. */
  spread: number;
  /** Bytes of the requests of each, with the newline that ends them. */
  requests: number[];
  /** us between two requests. */
  pace: number;
  /** us between the last one and the end. */
  closing: number;
  /** Most bytes per captured packet. */
  segment: number;
  /** us between two packets of a request. */
  gap: number;
  end: "fin" | "rst" | "half-close" | "none";
  /** Whether the SYN is captured. */
  syn: boolean;
  /** Bytes that production answered each request with. */
  answer: number;
}

export interface Captured {
  /** us since the start. */
  at: number;
  fields: Fields;
}

const SYN_OPTIONS = encodeOptions("mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7", 0);
const NUMBERS = { client: 2 ** 32 - 5000, online: 2 ** 32 - 700 };

/** Request `index` of session `session`: all differ, and end with the only newline. */
export function requestOf(session: number, index: number, length: number): Buffer {
  const text = `${session}:${index} `;
  const bytes = Buffer.alloc(length, "abcdefghijklmnopqrstuvwxyz.");
  bytes.write(text.slice(0, length - 1));
  bytes[length - 1] = 10;
  return bytes;
}

/** All that a session sends. */
export function streamOf(load: Load, session: number): Buffer {
  return Buffer.concat(load.requests.map((length, index) => requestOf(session, index, length)));
}

function addressOf(session: number): string {
  return `10.9.${session >> 8}.${session & 255}`;
}

export function packetsOfLoad(load: Load): Captured[] {
  const all: Captured[] = [];
  for (let session = 0; session < load.sessions; session++) {
    const base = { source: addressOf(session), sourcePort: 40_000, destinationPort: 80 };
    let at = session * load.spread;
    let seq = NUMBERS.client;
    let ack = NUMBERS.online + 1;
    if (load.syn) all.push({ at, fields: { ...base, seq, flags: SYN, options: SYN_OPTIONS } });
    seq++;
    if (load.syn) all.push({ at, fields: { ...base, seq: seq >>> 0, ack: ack >>> 0, flags: ACK } });
    for (const [index, length] of load.requests.entries()) {
      at += load.pace;
      const bytes = requestOf(session, index, length);
      for (let from = 0; from < length; from += load.segment, at += load.gap) {
        const payload = bytes.subarray(from, from + load.segment);
        const flags = from + load.segment < length ? ACK : ACK | PSH;
        all.push({ at, fields: { ...base, seq: seq >>> 0, ack: ack >>> 0, flags, payload } });
        seq += payload.length;
      }
      if (load.end !== "half-close") ack += load.answer;
    }
    at += load.closing;
    const last = { ...base, seq: seq >>> 0, ack: ack >>> 0 };
    if (load.end === "rst") all.push({ at, fields: { ...last, flags: RST | ACK } });
    else if (load.end !== "none") all.push({ at, fields: { ...last, flags: FIN | ACK } });
  }
  return all.sort((a, b) => a.at - b.at);
}

/** The client's side of a script, as that of client number `session`. */
export function packetsOfScript(script: Script, session: number): Captured[] {
  const all: Captured[] = [];
  let at = 0;
  for (const { from, event } of script.lines) {
    at += from;
    if (event.kind !== "capture") continue;
    const { segment, flow } = event;
    all.push({
      at,
      fields: {
        source: addressOf(session),
        sourcePort: 40_000 + flow,
        destinationPort: 80,
        seq: (NUMBERS.client + segment.seq) >>> 0,
        ack: segment.ack === null ? 0 : (NUMBERS.online + segment.ack) >>> 0,
        flags: segment.flags,
        options: segment.options === null ? [] : encodeOptions(segment.options, 0),
        payload: scriptBytes(session, segment.data ?? segment.seq, segment.length),
        think: segment.think,
      },
    });
  }
  return all;
}

/** The bytes [from, from + length) of what client number `session` sends in its script. */
export function scriptBytes(session: number, from: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.imul(session * 65_536 + from + i, 0x9e3779b1) >>> 24);
}
