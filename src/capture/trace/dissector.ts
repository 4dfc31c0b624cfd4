/**
 * Finds the request in a frame: parses the link layer, tunnels and fragments up to the first IP packet that goes to one of
 * the services.
 */
import { Fragments } from "../../wire/fragments.ts";
import { IPPROTO_TCP } from "../../wire/ip.ts";
import { IP_CUT, IP_OK, IpHeader, parseIp } from "../../wire/ip-header.ts";
import { LINK_LINUX_SLL, LINK_LINUX_SLL2, networkLayer } from "../../wire/link.ts";
import { innerIp, isTunnel } from "../../wire/tunnel.ts";
import { IPPROTO_UDP } from "../../wire/udp.ts";
import { OUTGOING } from "../record-index.ts";
import type { Services } from "../services.ts";
import type { Frame } from "./frame.ts";

/** Reasons why a frame is no request. */
export const NOT_IP = -1;
/** An IP packet, but not of a wanted protocol to one of the services. */
export const NOT_WANTED = -2;
/** The capture cut the packet within its headers. */
export const HEADERS_CUT = -3;
export const MALFORMED = -4;
/** A fragment of an IP packet that is not complete yet. */
export const FRAGMENT = -5;

/** Most IP headers within each other that are parsed. */
const MAX_DEPTH = 5;
const TCP_HEADER = 20;
const UDP_HEADER = 8;

export class Dissector {
  /** The packet that was found last: `bytes` and offsets into it, valid as long as the frame is. */
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  readonly header = new IpHeader();
  payload = 0;
  /** IP headers before that of the packet: 0 if it is not in a tunnel. */
  depth = 0;
  /** Whether it was put together from fragments: the checksum of its IP header is that of a fragment. */
  isReassembled = false;
  readonly fragments = new Fragments();

  /**
   * `protocol`: that of `services`, IPPROTO_TCP or IPPROTO_UDP; `datagrams`: UDP services besides them; `answering` and
   * `answeringDatagrams`: those of TCP and of UDP whose packets to clients are found too.
   */
  constructor(
    private readonly services: Services,
    private readonly protocol: number,
    private readonly datagrams: Services | null = null,
    private readonly answering: Services | null = null,
    private readonly answeringDatagrams: Services | null = null,
  ) {}

  /**
   * Parses a frame. Returns the index of the service that it is a request to, OUTGOING and the index of the one that it comes
   * from, or one of the negative reasons above.
   */
  read(frame: Frame): number {
    const { header, fragments } = this;
    this.bytes = frame.bytes;
    this.view = frame.view;
    this.isReassembled = false;
    let end = frame.end;
    let wireEnd = frame.start + frame.length;
    let ip = networkLayer(frame.view, frame.start, end, frame.linkType);
    if (ip < 0) return NOT_IP;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      let result = parseIp(this.view, ip, end, wireEnd, header);
      if (result === IP_OK && header.isFragment) {
        if (!this.#canMatter(header.protocol)) return NOT_WANTED;
        if (!fragments.add(this.bytes, this.view, header, frame.time)) return FRAGMENT;
        this.isReassembled = true;
        this.bytes = fragments.bytes;
        this.view = fragments.view;
        end = fragments.end;
        wireEnd = fragments.wireEnd;
        result = parseIp(this.view, fragments.ip, end, wireEnd, header);
      }
      if (result !== IP_OK) return result === IP_CUT ? HEADERS_CUT : MALFORMED;
      end = header.end;
      wireEnd = header.ip + header.length;
      this.depth = depth;
      const services = this.#servicesOf(header.protocol);
      if (services) {
        const index = this.#readTransport(services);
        if (index !== NOT_WANTED) return index;
      }
      this.isReassembled = false;
      ip = innerIp(this.view, header.protocol, header.transport, end);
      if (ip < 0) return NOT_WANTED;
    }
    return NOT_WANTED;
  }

  /**
   * A number of where the packet read last was captured within its file: the interface, which a link-layer header (LINUX_SLL2)
   * may say, whether it came or went there (LINUX_SLL, LINUX_SLL2), and how deep in tunnels it was.
   */
  placeOf({ view, start, linkType, interface: index }: Frame): number {
    if (linkType === LINK_LINUX_SLL2) index = (view.getUint32(start + 4) << 3) | view.getUint8(start + 10);
    else if (linkType === LINK_LINUX_SLL) index = view.getUint16(start);
    return Math.imul(index, MAX_DEPTH) + this.depth;
  }

  #canMatter(protocol: number): boolean {
    return protocol === this.protocol || isTunnel(protocol);
  }

  #servicesOf(protocol: number): Services | null {
    if (protocol === this.protocol) return this.services;
    return protocol === IPPROTO_UDP ? this.datagrams : null;
  }

  #readTransport(services: Services): number {
    const { view, header } = this;
    const { transport, end } = header;
    if (transport + 4 > end) return HEADERS_CUT;
    let index = services.find(view, header, view.getUint16(transport + 2));
    const answering = header.protocol === IPPROTO_TCP ? this.answering : this.answeringDatagrams;
    if (index < 0 && answering) {
      index = answering.findSource(view, header, view.getUint16(transport));
      if (index >= 0) index += OUTGOING;
    }
    if (index < 0) return NOT_WANTED;
    let size = UDP_HEADER;
    if (header.protocol === IPPROTO_TCP) {
      if (transport + TCP_HEADER > end) return this.#tooShort(TCP_HEADER);
      size = (view.getUint8(transport + 12) >> 4) * 4;
      if (size < TCP_HEADER) return MALFORMED;
    }
    this.payload = transport + size;
    return this.payload > end ? this.#tooShort(size) : index;
  }

  /** Why a transport header of so many bytes is not complete. */
  #tooShort(size: number): number {
    const { ip, length, transport } = this.header;
    return transport + size > ip + length ? MALFORMED : HEADERS_CUT;
  }
}
