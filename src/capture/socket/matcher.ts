/** Which packets of a capturing socket are requests: the rules of bpf/request/request.bpf.c, with the same counters. */
import { IPPROTO_TCP } from "../../wire/ip.ts";
import { IP_OK, IpHeader, parseIp } from "../../wire/ip-header.ts";
import type { Packet } from "../../wire/packet.ts";
import { IPPROTO_UDP } from "../../wire/udp.ts";
import type { Control } from "../control.ts";
import { KERNEL_COUNTERS, type KernelCounter } from "../counters.ts";
import { DUPLICATE, flowHash, History, PURE_ACK } from "../history.ts";
import { WHOLE_PACKETS } from "../maps.ts";
import { SEGMENT_FRAGMENT_INDEX } from "../record-index.ts";
import { type AnsweringService, type KernelService, Services } from "../services.ts";
import type { MatchConfig } from "../source.ts";
import { DatagramMatcher, FROM_HOST, type SentTo, TO_HOST } from "./datagram-matcher.ts";
import { LaterFragments } from "./later-fragments.ts";
import { LocalTable } from "./local-table.ts";
import { SentMatcher } from "./sent-matcher.ts";

export const ETHERTYPE_IP = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_QINQ = 0x88a8;
const MAX_VLAN_TAGS = 2;
const TCP_HEADER = 20;

const INDEX = Object.fromEntries(KERNEL_COUNTERS.map((name, index) => [name, index])) as Record<
  KernelCounter,
  number
>;

/** Whether this EtherType announces a VLAN tag. */
export function isTag(protocol: number): boolean {
  return protocol === ETHERTYPE_VLAN || protocol === ETHERTYPE_QINQ;
}

export class Matcher {
  readonly #counters: Float64Array;
  readonly #services: Services;
  readonly #datagrams: DatagramMatcher;
  readonly #history: History;
  readonly #laterFragments = new LaterFragments();
  readonly #header = new IpHeader();
  readonly #local: LocalTable | null;
  /** Null: what services send is not captured. */
  readonly #sent: SentMatcher | null;

  constructor(
    private readonly config: MatchConfig,
    private readonly control: Control,
  ) {
    const { length } = KERNEL_COUNTERS;
    this.#counters = new Float64Array(config.counters, config.worker * length * 8, length);
    const { services, isOutgoing, local } = config;
    this.#local = local && new LocalTable(local);
    this.#history = new History(config.signSpan);
    const ofUdp = services.filter(({ transport }) => transport === "udp");
    this.#services = new Services(services.filter(({ transport }) => transport !== "udp"));
    this.#datagrams = new DatagramMatcher(ofUdp, isOutgoing, this.#history, (...found) =>
      this.#isForwarded(...found),
    );
    const { answering = [] } = config;
    this.#sent =
      answering.length > 0
        ? new SentMatcher(answering, this.#history, this.#local, control, (...counted) =>
            this.count(...counted),
          )
        : null;
  }

  /** As RequestSource.setServices. */
  setServices(services: readonly KernelService[], answering: readonly AnsweringService[]): void {
    this.#services.become(services.filter(({ transport }) => transport !== "udp"));
    this.#datagrams.setServices(services.filter(({ transport }) => transport === "udp"));
    this.#sent?.setServices(answering);
  }

  count(counter: KernelCounter, amount: number): void {
    this.#counters[INDEX[counter]]! += amount;
  }

  /**
   * Whether a packet is a request to capture, or one that a service sends (`index` then has OUTGOING); counts why not. `packet` has `bytes`, `view` and `time`; this sets the rest.
   * `at` is the offset of the header that the EtherType `protocol` announces. The packet was captured up to `end`; on the
   * wire it went on to `wireEnd`.
   */
  match(
    packet: Packet,
    protocol: number,
    at: number,
    end: number,
    wireEnd: number,
    sentTo: SentTo,
    ifindex: number,
  ): boolean {
    const header = this.#header;
    const { view } = packet;
    for (let tags = 0; isTag(protocol); tags++) {
      if (tags === MAX_VLAN_TAGS || at + 4 > end) return false;
      protocol = view.getUint16(at + 2);
      at += 4;
    }
    if (protocol !== ETHERTYPE_IP && protocol !== ETHERTYPE_IPV6) return false;
    if (parseIp(view, at, end, wireEnd, header) !== IP_OK) return false;
    // Nobody outside may pass for a service: see MatchConfig.
    if (sentTo === FROM_HOST) return this.#sent?.match(packet, header, ifindex) ?? false;
    if (header.protocol === IPPROTO_UDP) {
      return this.#matchDatagram(packet, sentTo, ifindex) || this.#isSent(packet, ifindex);
    }
    if (header.protocol !== IPPROTO_TCP) return false;
    if (header.isFragment) return this.#matchFragment(packet, sentTo, ifindex);
    const { transport, length } = header;
    if (transport + TCP_HEADER > end) return false;
    const payload = transport + (view.getUint8(transport + 12) >> 4) * 4;
    if (payload < transport + TCP_HEADER || payload > at + length) return false;
    const toAny = sentTo === TO_HOST || this.config.isOutgoing;
    const index = this.#services.find(view, header, view.getUint16(transport + 2), toAny);
    if (index < 0) return this.#isSent(packet, ifindex);
    if (this.#isForwarded(this.#services, view, header)) return false;
    // More than a record holds, or than the back end could take (libpcap: 256 KiB).
    if (length > WHOLE_PACKETS || end < Math.min(wireEnd, at + length, at + this.config.snaplen)) {
      this.count("oversize", 1);
      return false;
    }
    packet.ip = at;
    packet.tcp = transport;
    packet.payload = payload;
    packet.end = Math.min(header.end, at + this.config.snaplen);
    packet.length = at + length - payload;
    packet.index = index;
    packet.ifindex = ifindex;
    return this.#isNew(packet, length, ifindex);
  }

  /** Whether a packet that is no request comes from a service, where nothing tells what leaves from what comes in. */
  #isSent(packet: Packet, ifindex: number): boolean {
    if (this.#sent === null || !this.config.mixesDirections) return false;
    return this.#sent.match(packet, this.#header, ifindex);
  }

  /** Whether a request to the service that `services` has found only passes through this host; counts it. */
  #isForwarded(services: Services, view: DataView, header: IpHeader): boolean {
    const local = this.#local;
    if (local === null || !services.isAny || local.has(view, header)) return false;
    if (this.#counters[INDEX.forwarded] === 0) {
      local.noteForwarded(view, header, view.getUint16(header.transport + 2));
    }
    this.count("forwarded", 1);
    return true;
  }

  /** The rules of bpf/request/fragment-request.h. */
  #matchFragment(packet: Packet, sentTo: SentTo, ifindex: number): boolean {
    const header = this.#header;
    const { ip, transport, length, fragmentOffset, id } = header;
    const toAny = sentTo === TO_HOST || this.config.isOutgoing;
    packet.ip = ip;
    packet.tcp = transport;
    packet.payload = transport;
    packet.end = Math.min(header.end, ip + this.config.snaplen);
    packet.length = ip + length - transport;
    packet.think = -1;
    packet.index = SEGMENT_FRAGMENT_INDEX;
    packet.ifindex = ifindex;
    if (fragmentOffset > 0) {
      if (!this.#laterFragments.recall(packet, header, toAny)) return false;
    } else {
      if (transport + TCP_HEADER > packet.end) return false;
      let isOurs = this.#services.find(packet.view, header, packet.destinationPort, toAny) >= 0;
      if (isOurs && this.#isForwarded(this.#services, packet.view, header)) isOurs = false;
      if (isOurs && flowHash(packet) < this.control.leftOut) {
        this.count("unsampled", 1);
        isOurs = false;
      }
      this.#laterFragments.remember(packet, header, isOurs);
      if (!isOurs) return false;
    }
    if (this.#history.isRepeatedFragment(packet, id, fragmentOffset, ifindex)) {
      this.count("duplicates", 1);
      return false;
    }
    this.count("requestsCaptured", 1);
    this.count("requestBytes", length);
    return true;
  }

  #matchDatagram(packet: Packet, sentTo: SentTo, ifindex: number): boolean {
    const header = this.#header;
    const end = Math.min(header.end, header.ip + this.config.snaplen);
    if (!this.#datagrams.find(packet, header, end, sentTo)) return false;
    packet.ifindex = ifindex;
    // Of fragments the data plane decides, after reassembly.
    if (!header.isFragment && flowHash(packet) < this.control.leftOut) this.count("unsampled", 1);
    else if (this.#datagrams.isDuplicate(packet, header, ifindex)) this.count("duplicates", 1);
    else {
      this.count("requestsCaptured", 1);
      this.count("requestBytes", header.length);
      return true;
    }
    return false;
  }

  #isNew(packet: Packet, length: number, ifindex: number): boolean {
    const hash = flowHash(packet);
    if (hash < this.control.leftOut) {
      this.count("unsampled", 1);
      return false;
    }
    const seen = this.#history.look(packet, hash, ifindex);
    if (seen === PURE_ACK) this.count("pureAcks", 1);
    else if (seen === DUPLICATE) this.count("duplicates", 1);
    else {
      this.count("requestsCaptured", 1);
      this.count("requestBytes", length);
      return true;
    }
    return false;
  }
}
