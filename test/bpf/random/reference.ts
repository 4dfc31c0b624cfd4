/**
 * What the request, the outgoing and the response program must do with a packet, by bpf/README.md: verdict, record, counters. It
 * remembers of the packets before what they do, where that is certain; where it is not (a slot that other flows may have taken, a
 * window of time that may be over) it says so.
 */

import type { KernelService } from "../../../src/capture/services.ts";
import type { TestContext } from "../../../src/native/bpf/test-run.ts";
import { HEAD_BYTES, type Prefix } from "../../../src/wire/prefix.ts";
import { ACK, FIN, RST, SYN } from "../build.ts";
import { MARK } from "../capture.ts";
import { hexOf, type Ip, ipOf, isFragment, type Segment, tcpOf, Unknown, udpOf } from "./dissect.ts";
import { TCP, UDP } from "./packets.ts";

export const PASS = -1;
export const DROP = 2;
const OUTGOING = 0x80000000;
const NOT_UNICAST = 0x40000000;
const FRAGMENT_INDEX = 0x20000000;
const SEGMENT_FRAGMENT_INDEX = 0x20000001;
const FAR = 16 << 20;
/** ms; the windows of duplicates (1 s, of datagrams 50 ms) and of fragments (1 s) are surely not over before, and later nothing is said. */
const SURELY_WITHIN = 400;
const SURELY_WITHIN_OF_DATAGRAMS = 20;

export interface Expected {
  verdict: number;
  record: ExpectedRecord | null;
  counted: Record<string, number>;
}

export interface ExpectedRecord {
  bytes: string;
  tcp: number;
  payload: number;
  /** Of the payload on the wire. */
  length: number;
  index: number;
  /** A number, or whether it is known; absent: not said. */
  think?: number | boolean;
  isVerified?: boolean;
  acksFar?: boolean;
}

/** What the packet is seen as by the kernel, besides its bytes. */
export interface Seen {
  frame: Uint8Array;
  context: TestContext;
  /** By the MAC address: to this host, to a group, or to others. */
  to: "host" | "group" | "others";
  /** ms. */
  now: number;
}

export interface Settings {
  /** Of what they send so much payload is captured; absent: as much as `snaplen` says. */
  services: (KernelService & { payload?: Prefix })[];
  /** At XDP there are no marks, GSO packets and verified checksums, and nobody compares acknowledgements. */
  isXdp?: boolean;
  leaves?: boolean;
  /** Hexadecimal addresses of this host; null: all may be. */
  local?: Set<string> | null;
  keepsAcks?: boolean;
  snaplen?: number;
  isAlive?: boolean;
  /** Whether nothing of any flow is sampled. */
  samplesNone?: boolean;
}

const NOTHING: Expected = { verdict: PASS, record: null, counted: {} };
const only = (counter: string): Expected => ({ ...NOTHING, counted: { [counter]: 1 } });

interface Crossing {
  key: string;
  interface: number;
  now: number;
  /** How often it came by this interface, and by others. */
  times: number;
  others: Map<number, number>;
}

/** Whether a packet has crossed another interface. */
class Crossings {
  #last: Crossing | null = null;
  readonly #before: Crossing[] = [];

  isDuplicate(key: string, { context, now }: Seen, isDatagram: boolean): boolean {
    const here = context.ifindex ?? 0;
    const before = this.#before.find((one) => one.key === key);
    const last = this.#last?.key === key ? this.#last : null;
    if (!last) {
      if (before && (before.interface !== here || isDatagram)) throw new Unknown();
      if (this.#last) this.#before.push(this.#last);
      this.#last = { key, interface: here, now, times: 1, others: new Map() };
      return false;
    }
    if (now - last.now > (isDatagram ? SURELY_WITHIN_OF_DATAGRAMS : SURELY_WITHIN)) throw new Unknown();
    if (last.interface === here) {
      last.times++;
      last.now = now;
      return false;
    }
    const crossed = (last.others.get(here) ?? 0) + 1;
    last.others.set(here, crossed);
    if (!isDatagram || crossed <= last.times) return true;
    this.#last = { key, interface: here, now, times: 1, others: new Map() };
    return false;
  }
}

export class Reference {
  readonly #crossings = new Crossings();
  readonly #acks = new Map<string, { seq: number; ack: number }>();
  readonly #handshakes = new Map<string, number>();
  readonly #fragmented = new Map<string, { isOurs: boolean; now: number }>();

  constructor(readonly settings: Settings) {}

  request(seen: Seen): Expected {
    const { frame, context, to } = seen;
    const { isXdp = false, leaves = false } = this.settings;
    const ip = ipOf(frame);
    const isMarked = !isXdp && context.mark === MARK;
    if (ip?.protocol === TCP && isFragment(ip)) return isMarked ? NOTHING : this.#fragment(seen, ip);
    const tcp = tcpOf(frame, ip);
    // Nobody but this host itself takes it, where a service has no address.
    const toHost = leaves || to === "host";
    if (tcp) return isMarked ? NOTHING : this.#segment(seen, tcp, toHost);
    const takesDatagrams = this.settings.services.some(({ transport }) => transport === "udp");
    if (ip?.protocol === UDP && takesDatagrams && !isMarked) return this.#datagram(seen, ip);
    return NOTHING;
  }

  outgoing(seen: Seen): Expected {
    const { frame, context } = seen;
    const { keepsAcks = false, isAlive = true, local = null, samplesNone = false } = this.settings;
    const ip = ipOf(frame);
    if (context.mark === MARK) return NOTHING;
    if (ip?.protocol === TCP && ip.offset > 0) return only("fragments");
    if (ip?.protocol === UDP) return this.#outgoingDatagram(seen, ip);
    const tcp = tcpOf(frame, ip);
    const service = tcp && this.#find("tcp", tcp.family, tcp.source, tcp.sourcePort, true);
    if (!tcp || !service || (service.address === null && local !== null && !isLocal(local, tcp.source)))
      return NOTHING;
    if (!isAlive) return only("inert");
    if (samplesNone) return only("unsampled");
    if (!keepsAcks && isPureAck(tcp)) return only("pureAcks");
    if (this.#crossings.isDuplicate(`out ${keyOf(tcp)}`, seen, false)) return only("duplicates");
    return this.#sent(seen, tcp, service, {});
  }

  /** Of one in fragments the first is captured, as a part of it. */
  #outgoingDatagram(seen: Seen, ip: Ip): Expected {
    const { isAlive = true, local = null, samplesNone = false } = this.settings;
    const udp = udpOf(seen.frame, ip);
    const service = udp && this.#find("udp", ip.family, ip.source, udp.sourcePort, true);
    if (!udp || !service || (service.address === null && local !== null && !isLocal(local, ip.source)))
      return NOTHING;
    if (!isAlive) return only("inert");
    if (samplesNone) return only("unsampled");
    if (this.#crossings.isDuplicate(`out ${datagramKey(seen.frame, ip, udp)}`, seen, !ip.more))
      return only("duplicates");
    const at = ip.at + ip.transport;
    const said = ip.transport + seen.frame[at + 4]! * 256 + seen.frame[at + 5]!;
    const length = ip.more ? Math.max(said, ip.said) - udp.payload : ip.said - udp.payload;
    return this.#sent(seen, udp, service, { think: (!ip.more && seen.context.gsoSize) || -1, length });
  }

  #sent(seen: Seen, one: Segment, service: Settings["services"][number], marks: Partial<ExpectedRecord>) {
    const { snaplen = 65_535 } = this.settings;
    const { payload } = service;
    const captured = payload ? lengthWithPrefix(seen.frame, one, payload) : Math.min(one.length, snaplen);
    return recordOf(seen.frame, one, captured, service.index + OUTGOING, "outgoing", marks, PASS);
  }

  #find(
    transport: "tcp" | "udp",
    family: 4 | 6,
    address: string,
    port: number,
    any: boolean,
  ): Settings["services"][number] | undefined {
    const fits = this.settings.services.filter(
      (one) => (one.transport ?? "tcp") === transport && one.family === family && one.port === port,
    );
    return (
      fits.find((one) => one.address && hexOf(one.address) === address) ??
      (any ? fits.find((one) => one.address === null) : undefined)
    );
  }

  #isForwarded(service: KernelService, destination: string): boolean {
    const { local = null } = this.settings;
    return service.address === null && local !== null && !isLocal(local, destination);
  }

  #segment(seen: Seen, tcp: Segment, toHost: boolean): Expected {
    const { keepsAcks = false, isAlive = true, samplesNone = false, isXdp = false } = this.settings;
    const service = this.#find("tcp", tcp.family, tcp.destination, tcp.destinationPort, toHost);
    if (!service) return NOTHING;
    if (this.#isForwarded(service, tcp.destination)) return only("forwarded");
    const isAck = isPureAck(tcp);
    if (!isAlive) return isAck && !keepsAcks ? NOTHING : only("inert");
    if (samplesNone) return only("unsampled");
    const flow = flowOf(tcp);
    if (isAck) {
      this.#acks.set(flow, tcp);
      const endsHandshake = this.#handshakes.get(flow) === tcp.seq;
      if (endsHandshake) this.#handshakes.delete(flow);
      if (!endsHandshake && !keepsAcks) return only("pureAcks");
    }
    if (this.#crossings.isDuplicate(keyOf(tcp), seen, false)) return only("duplicates");
    if (tcp.flags & SYN) this.#handshakes.set(flow, (tcp.seq + 1 + tcp.length - tcp.payload) >>> 0);
    const last = this.#acks.get(flow);
    const by = last ? (tcp.ack - last.ack) | 0 : 0;
    return this.#record(seen, tcp, service.index, "requests", {
      ...(!isAck && { think: last?.seq === tcp.seq && last.ack === tcp.ack }),
      acksFar: !isXdp && (tcp.flags & ACK) !== 0 && (by > FAR || by < -FAR),
      isVerified: !isXdp && (seen.context.gsoSize ?? 0) > 0,
    });
  }

  /** A fragment of a TCP segment. */
  #fragment(seen: Seen, ip: Ip): Expected {
    const { isAlive = true, leaves = false, samplesNone = false } = this.settings;
    const toHost = leaves || seen.to === "host";
    if (ip.said < ip.transport) return NOTHING;
    if (ip.offset === 0) {
      const first = tcpOf(seen.frame, ip);
      if (!first) return NOTHING;
      const service = this.#find("tcp", ip.family, ip.destination, first.destinationPort, toHost);
      const passesThrough = service !== undefined && this.#isForwarded(service, ip.destination);
      const isOurs = service !== undefined && !passesThrough && !samplesNone;
      this.#remember(seen, ip, isOurs);
      if (passesThrough) return only("forwarded");
      if (!isOurs) return service ? only("unsampled") : NOTHING;
    } else if (!this.#recall(seen, ip, toHost)) return NOTHING;
    if (this.#crossings.isDuplicate(keyOf(ip), seen, false)) return only("duplicates");
    if (!isAlive) return only("inert");
    return this.#record(seen, pieceOf(ip), SEGMENT_FRAGMENT_INDEX, "requests", {});
  }

  #datagram(seen: Seen, ip: Ip): Expected {
    const { isAlive = true, leaves = false, samplesNone = false, isXdp = false } = this.settings;
    const toHost = leaves || seen.to !== "others";
    const udp = udpOf(seen.frame, ip);
    if ((ip.offset === 0 && !udp) || ip.said < ip.transport) return NOTHING;
    let index = FRAGMENT_INDEX;
    if (udp) {
      const service = this.#find("udp", ip.family, ip.destination, udp.destinationPort, toHost);
      const passesThrough = service !== undefined && this.#isForwarded(service, ip.destination);
      if (ip.more) this.#remember(seen, ip, service !== undefined && !passesThrough);
      if (passesThrough) return only("forwarded");
      if (!service) return NOTHING;
      if (!ip.more) index = service.index + (seen.to === "group" && !leaves ? NOT_UNICAST : 0);
    } else if (!this.#recall(seen, ip, toHost)) return NOTHING;
    const isWhole = udp !== null && !ip.more;
    if (!isAlive) return only("inert");
    if (isWhole && samplesNone) return only("unsampled");
    if (this.#crossings.isDuplicate(datagramKey(seen.frame, ip, udp), seen, isWhole))
      return only("duplicates");
    const several = isXdp ? 0 : (seen.context.gsoSize ?? 0);
    const marks = isWhole ? { think: several || -1, isVerified: several > 0 } : { think: -1 };
    return this.#record(seen, isWhole ? udp : pieceOf(ip, udp), index, "requests", marks);
  }

  #remember({ now }: Seen, ip: Ip, isOurs: boolean): void {
    this.#fragmented.set(packetKey(ip), { isOurs, now });
  }

  /** Whether a later fragment is ours: as the first one, else `otherwise`. */
  #recall({ now }: Seen, ip: Ip, otherwise: boolean): boolean {
    const first = this.#fragmented.get(packetKey(ip));
    if (first && now - first.now > SURELY_WITHIN) throw new Unknown();
    return first?.isOurs ?? otherwise;
  }

  #record(
    { frame }: Seen,
    segment: Segment,
    index: number,
    kind: Kind,
    marks: Partial<ExpectedRecord>,
  ): Expected {
    const { snaplen = 65_535 } = this.settings;
    return recordOf(frame, segment, Math.min(segment.length, snaplen), index, kind, marks, PASS);
  }
}

type Kind = keyof typeof COUNTED;

/** What a record of each kind, of a packet of so many bytes, counts as. */
const COUNTED = {
  requests: (length: number) => ({ requestsCaptured: 1, requestBytes: length }),
  responses: (length: number) => ({ responsesCaptured: 1, responseBytes: length }),
  outgoing: (length: number) => ({ outgoingCaptured: 1, outgoingBytes: length }),
};

/** Bytes of an IP packet up to the end of the prefix of its payload. */
export function lengthWithPrefix(
  frame: Uint8Array,
  { at, payload, length }: Segment,
  { bytes, takesHeads }: Prefix,
): number {
  const start = frame.subarray(at + payload, at + Math.min(length, payload + 7));
  const isHead = takesHeads && Buffer.from(start).toString("latin1") === "HTTP/1.";
  return Math.min(length, payload + (isHead ? Math.max(bytes, HEAD_BYTES) : bytes));
}

/** A record of the first `captured` bytes of a packet, or its count as unreadable if these are not there. */
export function recordOf(
  frame: Uint8Array,
  { at, length, transport, payload }: Segment,
  captured: number,
  index: number,
  kind: Kind,
  marks: Partial<ExpectedRecord>,
  verdict: number,
): Expected {
  if (captured === 0 || at + captured > frame.length)
    return { verdict, record: null, counted: { unreadable: 1 } };
  const bytes = hexOf(frame.subarray(at, at + captured));
  return {
    verdict,
    record: { bytes, tcp: transport, payload, length: length - payload, index, ...marks },
    counted: COUNTED[kind](length),
  };
}

/** A fragment as a segment: all behind its IP header is payload, or with the header of UDP all behind that. */
function pieceOf(ip: Ip, udp: Segment | null = null): Segment {
  const payload = udp?.payload ?? ip.transport;
  return { ...ip, sourcePort: 0, destinationPort: 0, seq: 0, ack: 0, flags: 0, payload, length: ip.said };
}

function isPureAck({ length, payload, flags }: Segment): boolean {
  return length === payload && !(flags & (SYN | FIN | RST));
}

/** Loopback and groups are this host's too. */
function isLocal(local: Set<string>, address: string): boolean {
  const first = Number.parseInt(address.slice(0, 2), 16);
  if (address.length === 8 ? first === 127 || (first >= 0xe0 && first < 0xf0) : first === 0xff) return true;
  return local.has(address);
}

const flowOf = (one: Segment) => [one.source, one.sourcePort, one.destination, one.destinationPort].join();
const packetKey = (ip: Ip) => [ip.source, ip.destination, ip.id, ip.protocol].join();

/** What makes it the same packet on another interface. */
function keyOf(one: Ip | Segment): string {
  const id = one.family === 4 ? one.id : 0;
  if ("seq" in one && !isFragment(one))
    return [flowOf(one), one.seq, one.ack, one.length, id, one.flags].join();
  const ports = "sourcePort" in one ? [one.sourcePort, one.destinationPort] : [];
  return [packetKey(one), one.offset, one.more, one.said, ...ports].join();
}

/** Of a datagram: length, checksum and the first 4 bytes of its payload. */
function datagramKey(frame: Uint8Array, ip: Ip, udp: Segment | null): string {
  if (!udp || ip.more) return keyOf(udp ?? ip);
  const from = ip.at + ip.transport;
  const first = hexOf(frame.subarray(from + 4, from + 12));
  return [
    flowOf(udp),
    ip.said,
    ip.family === 4 ? ip.id : 0,
    from + 12 > frame.length ? first.slice(0, 8) : first,
  ].join();
}
