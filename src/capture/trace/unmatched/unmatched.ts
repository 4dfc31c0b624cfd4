/** What a trace has in place of the requests that were looked for: counted only as long as none was found. */
import { IPPROTO_TCP } from "../../../wire/ip.ts";
import type { IpHeader } from "../../../wire/ip-header.ts";
import { ACK, SYN } from "../../../wire/tcp.ts";
import { IPPROTO_UDP } from "../../../wire/udp.ts";
import type { KernelService } from "../../services.ts";

const IPPROTO_ESP = 50;
const PORT_ESP_IN_UDP = 4500;
/** Bytes of WireGuard's messages 1 to 3 (initiation, response, cookie), with the UDP header; the fourth has data. */
const WIREGUARD_BYTES = [0, 156, 100, 72];
const WIREGUARD_DATA = 4;
const SMALLEST_WIREGUARD_DATA = 40;
const PORTS = 65_536;
/** Ports of each protocol that are told, and link types. */
const MOST_PORTS = 5;
const MOST_LINKS = 8;

/** How often a number (port, link type) was seen. */
export type Seen = [number: number, count: number];

export interface Sightings {
  /** Frames of link types that cannot be read. */
  links: Seen[];
  /** Frames of others without an IP packet. */
  notIp: number;
  /** Packets from a service, none to it. */
  answers: number;
  /** Packets to the port of a service at another address than its own; 4 or 16 bytes of the first such address. */
  elsewhere: number;
  elsewhereAddress: Uint8Array | null;
  /** Ports to which most TCP connections were opened; where no beginning of a connection was seen, those of most packets. */
  connections: Seen[];
  segments: Seen[];
  /** Ports with most UDP datagrams. */
  datagrams: Seen[];
  /** Encrypted packets of IPsec and of WireGuard. */
  ipsec: number;
  wireguard: number;
}

export class Unmatched {
  #notIp = 0;
  #answers = 0;
  #elsewhere = 0;
  #elsewhereAddress: Uint8Array | null = null;
  #ipsec = 0;
  #wireguard = 0;
  readonly #links = new Map<number, number>();
  /** By port: connections opened, of these accepted, TCP segments with data, UDP datagrams. */
  readonly #opened = new Uint32Array(PORTS);
  readonly #accepted = new Uint32Array(PORTS);
  readonly #segments = new Uint32Array(PORTS);
  readonly #datagrams = new Uint32Array(PORTS);

  constructor(private readonly services: readonly KernelService[]) {}

  /** A frame without an IP packet that can be read; `isKnown`: whether its link type can be. */
  noteFrame(linkType: number, isKnown: boolean): void {
    if (isKnown) this.#notIp++;
    else if (this.#links.size < MOST_LINKS || this.#links.has(linkType))
      this.#links.set(linkType, (this.#links.get(linkType) ?? 0) + 1);
  }

  /** An IP packet that is no request; `header` is that of the innermost packet that could be read. */
  notePacket(view: DataView, header: IpHeader): void {
    const { protocol, transport, end } = header;
    if (protocol === IPPROTO_ESP) this.#ipsec++;
    if ((protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP) || transport + 4 > end) return;
    const from = view.getUint16(transport);
    const to = view.getUint16(transport + 2);
    if (this.#isService(view, header, from, 12, 8)) this.#answers++;
    else if (this.#hasPort(protocol, to)) this.#noteElsewhere(view, header);
    if (protocol === IPPROTO_UDP) this.#noteDatagram(view, header, Math.min(from, to), to);
    else this.#noteSegment(view, header, from, to);
  }

  take(): Sightings {
    const connections = this.#opened.map((count, port) => Math.max(count, this.#accepted[port]!));
    return {
      links: [...this.#links],
      notIp: this.#notIp,
      answers: this.#answers,
      elsewhere: this.#elsewhere,
      elsewhereAddress: this.#elsewhereAddress,
      connections: mostOf(connections),
      segments: mostOf(this.#segments),
      datagrams: mostOf(this.#datagrams),
      ipsec: this.#ipsec,
      wireguard: this.#wireguard,
    };
  }

  #noteSegment(view: DataView, { transport, end }: IpHeader, from: number, to: number): void {
    if (transport + 14 > end) return;
    const flags = view.getUint8(transport + 13);
    if (!(flags & SYN)) this.#segments[Math.min(from, to)]!++;
    else if (flags & ACK) this.#accepted[from]!++;
    else this.#opened[to]!++;
  }

  #noteDatagram(view: DataView, { transport, end }: IpHeader, port: number, to: number): void {
    this.#datagrams[port]!++;
    if (transport + 12 > end) return;
    const first = view.getUint32(transport + 8);
    if (to === PORT_ESP_IN_UDP && first !== 0) this.#ipsec++;
    const message = first >>> 24;
    const length = view.getUint16(transport + 4);
    const isWireguard =
      (first & 0xffffff) === 0 &&
      (message === WIREGUARD_DATA
        ? length >= SMALLEST_WIREGUARD_DATA && length % 16 === 8
        : message > 0 && length === WIREGUARD_BYTES[message]);
    if (isWireguard) this.#wireguard++;
  }

  #noteElsewhere(view: DataView, { ip, family }: IpHeader): void {
    this.#elsewhere++;
    if (this.#elsewhereAddress) return;
    const [at, size] = family === 4 ? [ip + 16, 4] : [ip + 24, 16];
    this.#elsewhereAddress = Uint8Array.from({ length: size }, (_, i) => view.getUint8(at + i));
  }

  #hasPort(protocol: number, port: number): boolean {
    for (const service of this.services)
      if (service.port === port && protocolOf(service) === protocol) return true;
    return false;
  }

  /** Whether the address of the packet at this offset in its header (IPv4, IPv6) and the port are those of a service. */
  #isService(view: DataView, header: IpHeader, port: number, at4: number, at6: number): boolean {
    const at = header.ip + (header.family === 4 ? at4 : at6);
    for (const service of this.services) {
      if (service.port !== port || protocolOf(service) !== header.protocol) continue;
      const { address, family } = service;
      if (family !== header.family) continue;
      if (address === null || address.every((byte, i) => view.getUint8(at + i) === byte)) return true;
    }
    return false;
  }
}

function protocolOf({ transport }: KernelService): number {
  return transport === "udp" ? IPPROTO_UDP : IPPROTO_TCP;
}

/** The largest counts, the largest first. */
function mostOf(counts: Uint32Array): Seen[] {
  const seen: Seen[] = [];
  for (const [number, count] of counts.entries()) if (count > 0) seen.push([number, count]);
  return seen.sort((one, other) => other[1] - one[1]).slice(0, MOST_PORTS);
}
