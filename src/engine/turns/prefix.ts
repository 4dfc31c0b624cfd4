/** The PROXY protocol header at the start of a connection, before the client's bytes: the client's own, or one of ours. */
import { MOST_READ, readProxyHeader, writeProxyHeader } from "../../wire/proxy-protocol.ts";
import type { Context } from "../sessions/context.ts";
import { ACK_NUMBER, LENGTH, MARKS, NEXT, PREFIX, PUSH, SEGMENT, SEQ } from "../sessions/segments.ts";
import {
  CLIENT_ADDRESS,
  CLIENT_FIN,
  CLIENT_PORTS,
  CLIENT_RST,
  CURSOR,
  FLAGS,
  HAS_DATA,
  HEAD,
  ISS,
  NONE,
  ONLINE_ADDRESS,
  PROGRESS_AT,
  QUEUED,
  ROW,
  SEQ_DELTA,
  SINCE,
  SND_MAX,
  SND_NXT,
  TAIL,
  TIMES,
} from "../sessions/table.ts";
import { hasProxyHeader } from "./proxy-header.ts";
import { nextToSend, releaseHead } from "./stream.ts";
import { hasCome } from "./turns.ts";

/** us after the handshake in which a client's own header is waited for, before one of ours is sent that names the client itself. */
const OWN_HEADER = 50_000;

const header = new Uint8Array(MOST_READ);
/** The addresses of the header that the client has sent: source, destination. */
const named = new Int32Array(8);

/**
 * On an ESTABLISHED connection: puts the PROXY protocol header that opens it before the first byte. "waits": TURN_AT is set, and
 * nothing may be sent until then; "opens": the header is the next to be sent; "none": it was sent, or there is none.
 */
export function placeHeader(c: Context, s: number): "none" | "opens" | "waits" | "no memory" {
  const w = c.words;
  const row = s * ROW;
  const version = c.config.proxyProtocol;
  if (version < 0 || w[row + SND_MAX] !== ((w[row + ISS]! + 1) | 0)) return "none";
  const isCaptured = hasProxyHeader(c, s);
  if (version === 0 && !isCaptured) return "none";
  const head = w[row + HEAD]!;
  const g = c.segments.words;
  if (head !== NONE && g[head * SEGMENT + MARKS]! & PREFIX) return "opens";
  if (!isCaptured && !(w[row + FLAGS]! & (HAS_DATA | CLIENT_FIN | CLIENT_RST))) {
    if (!hasCome(c, s, c.times[s * TIMES + SINCE]! + OWN_HEADER)) return "waits";
  }
  const length = version > 0 ? write(c, s, version as 1 | 2, isCaptured) : read(c, s);
  const cursor = w[row + CURSOR]!;
  const prefix = c.segments.store(header, 0, length, (nextToSend(c, s) - length) | 0, PREFIX | PUSH);
  if (prefix === NONE) return "no memory";
  if (cursor !== NONE) g[prefix * SEGMENT + ACK_NUMBER] = g[cursor * SEGMENT + ACK_NUMBER]!;
  g[prefix * SEGMENT + NEXT] = head;
  if (head === NONE) w[row + TAIL] = prefix;
  w[row + HEAD] = prefix;
  w[row + CURSOR] = prefix;
  w[row + QUEUED]! += length;
  w[row + SEQ_DELTA] = (w[row + SND_NXT]! - g[prefix * SEGMENT + SEQ]!) | 0;
  c.times[s * TIMES + PROGRESS_AT] = c.now;
  return "opens";
}

/** Reads the client's own header, and returns its bytes. */
function read(c: Context, s: number): number {
  const kept = c.proxyHeaders[s]!;
  const length = c.segments.words[kept * SEGMENT + LENGTH]!;
  c.segments.read(kept, 0, length, header, 0);
  return length;
}

/** Writes a header that names the client of the client's own header, if it has one that does; else the client itself. */
function write(c: Context, s: number, version: 1 | 2, isCaptured: boolean): number {
  const w = c.words;
  const row = s * ROW;
  const ports = isCaptured ? readProxyHeader(header, 0, read(c, s), named) : null;
  if (ports) return writeProxyHeader(header, version, named, 0, 4, ports[0], ports[1]);
  const own = w[row + CLIENT_PORTS]!;
  const [source, destination] = [row + CLIENT_ADDRESS, row + ONLINE_ADDRESS];
  return writeProxyHeader(header, version, w, source, destination, own >>> 16, own & 0xffff);
}

/** Removes the bytes of our own at the start of the queue: they belong to the connection that is gone. */
export function removePrefix(c: Context, s: number): void {
  for (let head = c.words[s * ROW + HEAD]!; head !== NONE; head = c.words[s * ROW + HEAD]!) {
    if (!(c.segments.words[head * SEGMENT + MARKS]! & PREFIX)) return;
    releaseHead(c, s);
  }
}
