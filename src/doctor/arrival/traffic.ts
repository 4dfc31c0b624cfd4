/** Counts what arrives at the services, and what arrives instead: packet by packet, without input or clock. */

import { IPPROTO_TCP } from "../../wire/ip.ts";
import type { IpHeader } from "../../wire/ip-header.ts";
import { ACK, distance, RST, SYN } from "../../wire/tcp.ts";
import { IPPROTO_UDP } from "../../wire/udp.ts";
import { type ProtocolName, recognizeClient, recognizeDatagram, recognizeServer } from "./recognize.ts";

/** Bounds: connections, ports and addresses that are told apart. What is beyond them is counted, and not looked at. */
const MOST_FLOWS = 16_384;
const MOST_PORTS = 4096;
/** Bytes of a segment that are looked at. */
const LOOKED_AT = 1024;

/** A service whose arrivals are counted. */
export interface WatchedService {
  /** 4 or 16 bytes; null: every address of this host. */
  address: Uint8Array | null;
  port: number;
  isUdp: boolean;
  /** Of clients whose requests can be copied. */
  families: (4 | 6)[];
}

/**
 * How a packet to the port of a service is seen. `taken`: as copy takes it. `elsewhere`: on an interface that -i does not name.
 * `forwarded`: to an address of another host. `family`: of a family of which clients are not copied. `address`: to another
 * address than that of -x. `opposite`: it leaves this host where copy takes what comes in, or the other way round.
 */
export const WAYS = ["taken", "elsewhere", "forwarded", "family", "address", "opposite"] as const;
export type WayOfArrival = (typeof WAYS)[number];

export interface Counts {
  packets: number;
  connections: number;
  /** Segments with data that begin a turn, or datagrams. */
  requests: number;
  /** By index of the interface. */
  interfaces: Map<number, number>;
  /** The first address that such a packet was to. */
  to: Uint8Array | null;
}

/** What arrived at one service. */
export interface Arrivals {
  ways: Record<WayOfArrival, Counts>;
  /** Connections of each protocol, or datagrams; "": not known. */
  protocols: Map<ProtocolName | "", number>;
  /** Connections that began with a PROXY protocol header, by its version. */
  proxy: [number, number, number];
  /** Packets from the port that were seen: answers. */
  answers: number;
}

interface Flow {
  /** Acknowledgement of the data before, with which a turn is told from the one before it; null: no data yet. */
  acknowledged: number | null;
  isRecognized: boolean;
  hasBeginning: boolean;
}

/** What is known of a packet besides its bytes. */
export interface Sighting {
  ifindex: number;
  /** Whether it leaves this host. */
  leaves: boolean;
}

export interface TrafficSettings {
  services: readonly WatchedService[];
  /** Whether copy takes what leaves this host. */
  isOutgoing: boolean;
  /** Interfaces that copy captures on; null: all. */
  interfaces: ReadonlySet<number> | null;
  /** Whether an address is this host's; null: all count, as in a recording. */
  isLocal: ((address: Uint8Array) => boolean) | null;
  /** Endpoints of targets: what goes there is no request. */
  targets: readonly { address: Uint8Array; port: number }[];
}

const NO_COUNTS = (): Counts => ({
  packets: 0,
  connections: 0,
  requests: 0,
  interfaces: new Map(),
  to: null,
});

export class Traffic {
  readonly arrivals: Arrivals[];
  /** By port: TCP connections that were opened to this host there, and UDP datagrams. */
  readonly opened = new Map<number, number>();
  readonly datagrams = new Map<number, number>();
  /** Connections that the host of a target opened to a service, by the index of the target. */
  readonly fromTargets: number[];
  packets = 0;
  readonly #flows = new Map<string, Flow>();
  readonly #isLocal = new Map<string, boolean>();
  /** Endpoints of targets, without those that are services themselves, by mistake. */
  readonly #targets: TrafficSettings["targets"];

  constructor(private readonly settings: TrafficSettings) {
    this.arrivals = settings.services.map(() => ({
      ways: Object.fromEntries(WAYS.map((way) => [way, NO_COUNTS()])) as Record<WayOfArrival, Counts>,
      protocols: new Map(),
      proxy: [0, 0, 0],
      answers: 0,
    }));
    this.fromTargets = settings.targets.map(() => 0);
    this.#targets = settings.targets.filter(
      ({ address, port }) =>
        !settings.services.some((one) => one.address && one.port === port && sameBytes(one.address, address)),
    );
  }

  /** Takes an IP packet of TCP or UDP; `header` is of the packet in `bytes`. */
  see(bytes: Uint8Array, view: DataView, header: IpHeader, seen: Sighting): void {
    const { protocol, transport, end } = header;
    const isUdp = protocol === IPPROTO_UDP;
    if ((!isUdp && protocol !== IPPROTO_TCP) || header.isFragment || transport + (isUdp ? 8 : 20) > end)
      return;
    this.packets++;
    const size = header.family === 4 ? 4 : 16;
    const at = header.ip + (header.family === 4 ? 12 : 8);
    const source = bytes.subarray(at, at + size);
    const destination = bytes.subarray(at + size, at + 2 * size);
    const [from, to] = [view.getUint16(transport), view.getUint16(transport + 2)];
    if (this.#isTarget(destination, to) || this.#isTarget(source, from)) return;
    const index = this.#serviceOf(destination, to, isUdp);
    const flags = isUdp ? 0 : view.getUint8(transport + 13);
    if (index < 0) {
      const answered = this.#serviceOf(source, from, isUdp);
      if (answered >= 0) this.#seeAnswer(answered, bytes, view, header, destination, to);
      this.#noteOther(isUdp, flags, to, destination, seen);
      return;
    }
    const way = this.#wayOf(this.settings.services[index]!, destination, header.family, seen);
    const { ways } = this.arrivals[index]!;
    const counts = ways[way];
    counts.packets++;
    counts.to ??= destination.slice();
    counts.interfaces.set(seen.ifindex, (counts.interfaces.get(seen.ifindex) ?? 0) + 1);
    if (isUdp) {
      counts.requests++;
      this.#recognized(
        index,
        recognizeDatagram(bytes.slice(transport + 8, Math.min(end, transport + 8 + LOOKED_AT))),
      );
      return;
    }
    const key = `${way} ${keyOf(source, from, destination, to)}`;
    const isFirst = (flags & (SYN | ACK)) === SYN && !this.#flows.has(key);
    if (isFirst) {
      counts.connections++;
      const target = this.settings.targets.findIndex(({ address }) => sameBytes(address, source));
      if (target >= 0) this.#noteTarget(target, key);
    }
    if (flags & RST) return;
    this.#seeSegment(index, counts, key, isFirst, bytes, view, header);
  }

  /** A connection that the host of a target opened: what it speaks may be what doctor has asked the target, passed on. */
  #noteTarget(target: number, key: string): void {
    this.fromTargets[target]!++;
    if (this.#flows.size >= MOST_FLOWS) return;
    this.#flows.set(key, { acknowledged: null, isRecognized: true, hasBeginning: true });
  }

  #seeSegment(
    index: number,
    counts: Counts,
    key: string,
    isFirst: boolean,
    bytes: Uint8Array,
    view: DataView,
    { transport, end, ip, length }: IpHeader,
  ): void {
    let flow = this.#flows.get(key);
    if (!flow) {
      if (this.#flows.size >= MOST_FLOWS) return;
      flow = { acknowledged: null, isRecognized: false, hasBeginning: isFirst };
      this.#flows.set(key, flow);
    }
    const payload = transport + (view.getUint8(transport + 12) >> 4) * 4;
    if (payload >= Math.min(ip + length, end)) return;
    const acknowledged = view.getInt32(transport + 8);
    const isTurn = flow.acknowledged === null || distance(acknowledged, flow.acknowledged) > 0;
    if (!isTurn) return;
    flow.acknowledged = acknowledged;
    counts.requests++;
    if (flow.isRecognized) return;
    const { protocol, proxy } = recognizeClient(bytes.slice(payload, Math.min(end, payload + LOOKED_AT)));
    if (proxy > 0 && flow.hasBeginning) this.arrivals[index]!.proxy[proxy]!++;
    // A header alone: what follows it says more.
    if (proxy > 0 && protocol === null) {
      flow.acknowledged = null;
      counts.requests--;
      return;
    }
    flow.isRecognized = true;
    this.#recognized(index, protocol);
  }

  /** What a service sends: where it speaks first, that says what it is. */
  #seeAnswer(
    index: number,
    bytes: Uint8Array,
    view: DataView,
    { transport, end, protocol, ip, family }: IpHeader,
    client: Uint8Array,
    clientPort: number,
  ): void {
    this.arrivals[index]!.answers++;
    if (protocol !== IPPROTO_TCP) return;
    const at = ip + (family === 4 ? 12 : 8);
    const server = bytes.subarray(at, at + client.length);
    const key = `taken ${keyOf(client, clientPort, server, this.settings.services[index]!.port)}`;
    const flow = this.#flows.get(key);
    const payload = transport + (view.getUint8(transport + 12) >> 4) * 4;
    if (!flow?.hasBeginning || flow.acknowledged !== null || flow.isRecognized || payload >= end) return;
    const found = recognizeServer(bytes.slice(payload, Math.min(end, payload + LOOKED_AT)));
    if (found === null) return;
    flow.isRecognized = true;
    this.#recognized(index, found);
  }

  #recognized(index: number, protocol: ProtocolName | null): void {
    const { protocols } = this.arrivals[index]!;
    protocols.set(protocol ?? "", (protocols.get(protocol ?? "") ?? 0) + 1);
  }

  #wayOf(service: WatchedService, destination: Uint8Array, family: 4 | 6, seen: Sighting): WayOfArrival {
    const { isOutgoing, interfaces } = this.settings;
    if (seen.leaves !== isOutgoing) return "opposite";
    if (service.address !== null && !sameBytes(service.address, destination))
      return service.address.length === destination.length ? "address" : "family";
    if (service.address === null && !isOutgoing && !this.#isHere(destination)) return "forwarded";
    if (!service.families.includes(family)) return "family";
    return interfaces === null || interfaces.has(seen.ifindex) ? "taken" : "elsewhere";
  }

  /** A packet to another port of this host. */
  #noteOther(isUdp: boolean, flags: number, to: number, destination: Uint8Array, { leaves }: Sighting): void {
    if (leaves !== this.settings.isOutgoing || (!isUdp && (flags & (SYN | ACK)) !== SYN)) return;
    if (!leaves && !this.#isHere(destination)) return;
    const ports = isUdp ? this.datagrams : this.opened;
    if (ports.has(to) || ports.size < MOST_PORTS) ports.set(to, (ports.get(to) ?? 0) + 1);
  }

  #isHere(address: Uint8Array): boolean {
    const { isLocal } = this.settings;
    if (isLocal === null) return true;
    const key = Buffer.from(address).toString("latin1");
    const known = this.#isLocal.get(key);
    if (known !== undefined) return known;
    if (this.#isLocal.size >= MOST_PORTS) this.#isLocal.clear();
    const found = isLocal(address);
    this.#isLocal.set(key, found);
    return found;
  }

  /** The service at an address, or that without one, or else one with the port; -1: there is none. */
  #serviceOf(address: Uint8Array, port: number, isUdp: boolean): number {
    const { services } = this.settings;
    const isThere = (one: WatchedService) => one.port === port && one.isUdp === isUdp;
    const exact = services.findIndex((one) => isThere(one) && one.address && sameBytes(one.address, address));
    if (exact >= 0) return exact;
    const any = services.findIndex((one) => isThere(one) && one.address === null);
    return any >= 0 ? any : services.findIndex(isThere);
  }

  #isTarget(address: Uint8Array, port: number): boolean {
    return this.#targets.some((one) => one.port === port && sameBytes(one.address, address));
  }
}

function keyOf(source: Uint8Array, from: number, destination: Uint8Array, to: number): string {
  return `${Buffer.from(source).toString("latin1")} ${from} ${Buffer.from(destination).toString("latin1")} ${to}`;
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
