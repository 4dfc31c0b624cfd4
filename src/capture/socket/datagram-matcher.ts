/** Which datagrams and fragments of a capturing socket are requests: the rules of bpf/request/datagram-request.h. */
import type { IpHeader } from "../../wire/ip-header.ts";
import type { Packet } from "../../wire/packet.ts";
import { UDP_HEADER } from "../../wire/udp.ts";
import { flowHash, type History } from "../history.ts";
import { FRAGMENT_INDEX, NOT_UNICAST } from "../record-index.ts";
import { type KernelService, Services } from "../services.ts";
import { LaterFragments } from "./later-fragments.ts";

/** Whom a packet was sent to at the link layer: this host, a group or everybody, another host; or it leaves this host. */
export const TO_HOST = 0;
export const TO_GROUP = 1;
export const TO_OTHER = 2;
export const FROM_HOST = 3;
export type SentTo = typeof TO_HOST | typeof TO_GROUP | typeof TO_OTHER | typeof FROM_HOST;

const NONE = -1;

export class DatagramMatcher {
  readonly #services: Services;
  readonly #laterFragments = new LaterFragments();

  constructor(
    services: readonly KernelService[],
    private readonly isOutgoing: boolean,
    private readonly history: History,
    private readonly isForwarded: (services: Services, view: DataView, header: IpHeader) => boolean,
  ) {
    this.#services = new Services(services);
  }

  setServices(services: readonly KernelService[]): void {
    this.#services.become(services);
  }

  /**
   * Whether the packet goes to one of the services; sets its offsets, length and index. `header` is its parsed IP header; it
   * was captured up to `end`.
   */
  find(packet: Packet, header: IpHeader, end: number, sentTo: SentTo): boolean {
    const { ip, transport, length, isFragment, fragmentOffset } = header;
    packet.ip = ip;
    packet.tcp = transport;
    packet.end = end;
    packet.think = -1;
    packet.acksFar = false;
    const toAny = this.isOutgoing || sentTo !== TO_OTHER;
    if (isFragment && fragmentOffset > 0) {
      packet.payload = transport;
      packet.length = ip + length - transport;
      packet.index = FRAGMENT_INDEX;
      return this.#laterFragments.recall(packet, header, toAny);
    }
    packet.payload = transport + UDP_HEADER;
    packet.length = ip + length - packet.payload;
    if (packet.payload > end || packet.length < 0) return false;
    let service = this.#services.find(packet.view, header, packet.destinationPort, toAny);
    if (service !== NONE && this.isForwarded(this.#services, packet.view, header)) service = NONE;
    if (isFragment) {
      this.#laterFragments.remember(packet, header, service !== NONE);
      packet.index = FRAGMENT_INDEX;
    } else {
      packet.index = sentTo === TO_GROUP && !this.isOutgoing ? service | NOT_UNICAST : service;
    }
    return service !== NONE;
  }

  /** Whether the packet of the last `find` was seen on another interface before; if not, remembers it. */
  isDuplicate(packet: Packet, { isFragment, fragmentOffset, id }: IpHeader, ifindex: number): boolean {
    if (!isFragment) return this.history.isRepeatedDatagram(packet, flowHash(packet), ifindex);
    return this.history.isRepeatedFragment(packet, id, fragmentOffset, ifindex);
  }
}
