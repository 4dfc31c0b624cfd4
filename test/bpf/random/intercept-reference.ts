/** What the programs of the intercept must do with a packet, by bpf/README.md: learn, catch and swallow. */

import { ACK, SYN } from "../build.ts";
import { type IcmpError, icmpOf, ipOf, type Segment, tcpOf, Unknown, udpOf } from "./dissect.ts";
import { TCP, UDP } from "./packets.ts";
import { DROP, type Expected, PASS, recordOf, type Seen } from "./reference.ts";

/** Of a redirect to nowhere: the packet is gone, and its sender takes it for sent. */
const GONE = 7;
const MOST_HEADERS = 128;
/** ms; a first fragment is remembered for 1 s. */
const SURELY_WITHIN = 400;
const NO_SLOT = 0xffffffff;
const NOTHING: Expected = { verdict: PASS, record: null, counted: {} };

export interface InterceptSettings {
  /** Whether these packets go to a service that is covered, by its port. */
  ports: number[];
  /** By cookie, hexadecimal digits. */
  slots: Map<string, number>;
  /** Whether copies read payload. */
  isRead: boolean;
  isAlive: boolean;
  isXdp?: boolean;
}

/** The cookie in the options of a segment, as hexadecimal digits; null: no option of ours. */
function cookieOf(frame: Uint8Array, { at, transport, payload }: Segment): string | null {
  const options = frame.subarray(at + transport + 20, at + payload);
  for (let place = 0; place + 2 <= options.length && options[place] !== 0; ) {
    if (options[place] === 1) {
      place++;
      continue;
    }
    const length = options[place + 1]!;
    if (length < 2) return null;
    const isOurs = options[place] === 253 && length === 12 && place + 12 <= options.length;
    if (isOurs && options[place + 2] === 0x78 && options[place + 3] === 0x63)
      return Buffer.from(options.subarray(place + 4, place + 12)).toString("hex");
    place += length;
  }
  return null;
}

export class InterceptReference {
  /** Flows that copies send, by their slots. */
  readonly #learned = new Map<string, number>();
  readonly #fragmented = new Map<string, number>();

  /** `datagrams`: flows of UDP that were registered, with their slots. */
  constructor(
    private readonly settings: InterceptSettings,
    private readonly datagrams: ReadonlyMap<string, number> = new Map(),
  ) {}

  /** On the target, of what comes in. */
  learn({ frame }: Seen): Expected {
    const tcp = tcpOf(frame, ipOf(frame));
    if (!tcp || (tcp.flags & (SYN | ACK)) !== SYN || !this.settings.ports.includes(tcp.destinationPort))
      return NOTHING;
    const flow = flowOf(tcp.source, tcp.sourcePort, tcp.destination, tcp.destinationPort);
    const cookie = cookieOf(frame, tcp);
    if (cookie === null)
      return this.#learned.delete(flow) ? { ...NOTHING, counted: { forgotten: 1 } } : NOTHING;
    const slot = this.settings.slots.get(cookie);
    if (slot === undefined) return { ...NOTHING, counted: { unknownCookies: 1 } };
    this.#learned.set(flow, slot);
    return { ...NOTHING, counted: { learned: 1 } };
  }

  /** On the target, of what goes out. */
  catch(seen: Seen): Expected {
    const { frame } = seen;
    const ip = ipOf(frame);
    const tcp = tcpOf(frame, ip);
    if (tcp) {
      const slot = this.#learned.get(
        flowOf(tcp.destination, tcp.destinationPort, tcp.source, tcp.sourcePort),
      );
      return slot === undefined ? NOTHING : this.#take(frame, tcp, slot, this.settings.isRead, GONE);
    }
    if (ip?.protocol === TCP && ip.offset > 0) return { ...NOTHING, counted: { fragments: 1 } };
    const error = icmpOf(frame);
    if (error && this.#isCopied(error)) return { verdict: GONE, record: null, counted: { icmpErrors: 1 } };
    if (ip?.protocol !== UDP || ip.said < ip.transport) return NOTHING;
    const key = [ip.source, ip.destination, ip.id].join();
    if (ip.offset > 0) {
      const first = this.#fragmented.get(key);
      if (first !== undefined && seen.now - first > SURELY_WITHIN) throw new Unknown();
      return first === undefined ? NOTHING : { ...NOTHING, verdict: GONE };
    }
    const udp = udpOf(frame, ip);
    const slot = udp
      ? this.datagrams.get(flowOf(udp.destination, udp.destinationPort, udp.source, udp.sourcePort))
      : undefined;
    if (!udp || slot === undefined) return NOTHING;
    if (ip.more) this.#fragmented.set(key, seen.now);
    return this.#take(frame, udp, slot, false, GONE);
  }

  /** On an assistant: whatever comes is dropped. */
  swallow({ frame }: Seen): Expected {
    const { isRead, isXdp = false } = this.settings;
    const ip = ipOf(frame);
    const tcp = tcpOf(frame, ip);
    if (tcp) return this.#take(frame, tcp, NO_SLOT, isRead, DROP);
    const only = (counter: string): Expected => ({ verdict: DROP, record: null, counted: { [counter]: 1 } });
    if (ip?.protocol === TCP && ip.offset > 0) return only("fragments");
    const udp = udpOf(frame, ip);
    if (udp) return this.#take(frame, udp, NO_SLOT, false, DROP);
    // Later fragments of a datagram have nothing to capture.
    if (ip?.protocol === UDP && ip.offset > 0 && ip.said >= ip.transport)
      return { verdict: DROP, record: null, counted: {} };
    return only(!isXdp && icmpOf(frame) ? "icmpErrors" : "unreadable");
  }

  #isCopied({ quoted: { protocol, source, sourcePort, destination, destinationPort } }: IcmpError): boolean {
    const flow = flowOf(source, sourcePort, destination, destinationPort);
    return (protocol === UDP ? this.datagrams : this.#learned).has(flow);
  }

  /** Drops an answer, and captures it unless user space stands still. */
  #take(frame: Uint8Array, segment: Segment, slot: number, isRead: boolean, verdict: number): Expected {
    if (!this.settings.isAlive) return { verdict, record: null, counted: { inert: 1 } };
    if (isRead) return recordOf(frame, segment, segment.length, slot, "responses", {}, verdict);
    if (segment.payload > MOST_HEADERS) return { verdict, record: null, counted: { oversize: 1 } };
    return recordOf(frame, segment, segment.payload, slot, "responses", {}, verdict);
  }
}

export function flowOf(client: string, clientPort: number, server: string, serverPort: number): string {
  return [client, clientPort, server, serverPort].join();
}
