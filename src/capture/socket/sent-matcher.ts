/** Which packets of a capturing socket services have sent: the rules of bpf/outgoing, with the same counters. */
import { IPPROTO_TCP } from "../../wire/ip.ts";
import type { IpHeader } from "../../wire/ip-header.ts";
import type { Packet } from "../../wire/packet.ts";
import { endOfPrefix, type Prefix } from "../../wire/prefix.ts";
import { FIN, RST, SYN } from "../../wire/tcp.ts";
import { IPPROTO_UDP, UDP_HEADER } from "../../wire/udp.ts";
import type { Control } from "../control.ts";
import type { KernelCounter } from "../counters.ts";
import { answerHash, type History } from "../history.ts";
import { WHOLE_PACKETS } from "../maps.ts";
import { OUTGOING } from "../record-index.ts";
import { type AnsweringService, Services } from "../services.ts";
import type { LocalTable } from "./local-table.ts";

const TCP_HEADER = 20;

export class SentMatcher {
  readonly #segments = new Services([]);
  readonly #datagrams = new Services([]);
  /** By index of a service. */
  readonly #prefixes: (Prefix | undefined)[] = [];

  constructor(
    services: readonly AnsweringService[],
    private readonly history: History,
    private readonly local: LocalTable | null,
    private readonly control: Control,
    private readonly count: (counter: KernelCounter, amount: number) => void,
  ) {
    this.setServices(services);
  }

  setServices(services: readonly AnsweringService[]): void {
    for (const { index, payload } of services) this.#prefixes[index] = payload;
    const isUdp = ({ transport }: AnsweringService) => transport === "udp";
    this.#segments.become(services.filter((one) => !isUdp(one)));
    this.#datagrams.become(services.filter(isUdp));
  }

  /**
   * Whether a packet is one of a service, to capture; then sets its offsets, length and index, and counts it. `header`: its IP
   * header, of TCP or UDP.
   */
  match(packet: Packet, header: IpHeader, ifindex: number): boolean {
    const { ip, transport, length, protocol, fragmentOffset } = header;
    const { view } = packet;
    const isTcp = protocol === IPPROTO_TCP;
    if ((!isTcp && protocol !== IPPROTO_UDP) || fragmentOffset > 0) return false;
    const least = isTcp ? TCP_HEADER : UDP_HEADER;
    if (transport + least > header.end) return false;
    const size = isTcp ? (view.getUint8(transport + 12) >> 4) * 4 : UDP_HEADER;
    if (size < least || transport + size > ip + length) return false;
    const services = isTcp ? this.#segments : this.#datagrams;
    const index = services.findSource(view, header, view.getUint16(transport));
    if (index < 0 || (services.isAny && this.local !== null && !this.local.hasSource(view, header)))
      return false;
    if (length > WHOLE_PACKETS) {
      this.count("oversize", 1);
      return false;
    }
    packet.ip = ip;
    packet.tcp = transport;
    packet.payload = transport + size;
    packet.end = header.end;
    packet.length = this.#lengthOf(view, header) - size;
    packet.think = -1;
    packet.acksFar = false;
    packet.index = OUTGOING + index;
    packet.ifindex = ifindex;
    if (!this.#isNew(packet, header)) return false;
    packet.end = endOfPrefix(packet, this.#prefixes[index]!);
    this.count("outgoingCaptured", 1);
    this.count("outgoingBytes", length);
    return true;
  }

  /** Bytes behind the IP header; of a first fragment of UDP those of all of the datagram. */
  #lengthOf(view: DataView, { ip, transport, length, protocol, isFragment }: IpHeader): number {
    const here = ip + length - transport;
    if (!isFragment || protocol !== IPPROTO_UDP) return here;
    return Math.max(here, view.getUint16(transport + 4));
  }

  #isNew(packet: Packet, { protocol, isFragment, id }: IpHeader): boolean {
    const { flags, length, ifindex } = packet;
    const isTcp = protocol === IPPROTO_TCP;
    const hash = answerHash(packet);
    if (hash < this.control.leftOut) this.count("unsampled", 1);
    else if (isTcp && length === 0 && !(flags & (SYN | FIN | RST))) this.count("pureAcks", 1);
    else if (this.#isRepeated(packet, ~hash >>> 0, isTcp, isFragment ? id : -1, ifindex))
      this.count("duplicates", 1);
    else return true;
    return false;
  }

  #isRepeated(packet: Packet, hash: number, isTcp: boolean, id: number, ifindex: number): boolean {
    if (isTcp) return this.history.isRepeatedSegment(packet, hash, ifindex);
    return id < 0
      ? this.history.isRepeatedDatagram(packet, hash, ifindex)
      : this.history.isRepeatedFragment(packet, id, 0, ifindex);
  }
}
