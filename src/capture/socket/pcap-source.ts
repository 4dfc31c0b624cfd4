/** Requests from libpcap. */
import { stopWatching } from "../../native/epoll.ts";
import { interfaceName } from "../../native/filters.ts";
import { PcapReader } from "../../native/libpcap-live.ts";
import { LINK_ETHERNET, networkLayer } from "../../wire/link.ts";
import { Packet } from "../../wire/packet.ts";
import type { Control } from "../control.ts";
import { Parts } from "../parts.ts";
import type { RequestSource, SourceConfig } from "../source.ts";
import { PacketClock } from "./clock.ts";
import { type SentTo, TO_GROUP, TO_HOST, TO_OTHER } from "./datagram-matcher.ts";
import { ETHERTYPE_IP, ETHERTYPE_IPV6, Matcher } from "./matcher.ts";
import { LINK_BYTES, OWN_PACKET_BYTES } from "./packet-fields.ts";
import { PcapTable } from "./pcap-table.ts";

const ETHERNET_HEADER = 14;

export class PcapSource implements RequestSource {
  readonly descriptors: readonly number[];
  readonly #table: PcapTable;
  readonly #matcher: Matcher;
  readonly #reader: PcapReader;
  readonly #packet: Packet;
  readonly #parts = new Parts();
  /** By slot of the table. */
  readonly #clocks: PacketClock[] = [];
  readonly #drops: number[] = [];

  constructor(
    private readonly config: Extract<SourceConfig, { kind: "pcap" }>,
    control: Control,
  ) {
    this.descriptors = [config.watched];
    this.#table = new PcapTable(config.table);
    this.#matcher = new Matcher(config.match, control);
    this.#reader = new PcapReader(config.longest + LINK_BYTES);
    this.#packet = new Packet(this.#reader.bytes);
  }

  /** Always: the handles' descriptors themselves are readable while packets wait. */
  get isEmpty(): boolean {
    return true;
  }

  /** Needs no `before`: what libpcap has not handed over is later than the time of the call. */
  drain(sink: (packet: Packet) => void, limit: number): number {
    let done = 0;
    const { count } = this.#table;
    for (let slot = 0; slot < count && done < limit; slot++) {
      if (this.#table.isOpen(slot)) done += this.#drainOne(slot, sink, limit - done);
    }
    return done;
  }

  setServices(...services: Parameters<Matcher["setServices"]>): void {
    this.#matcher.setServices(...services);
  }

  count(): void {
    const { count } = this.#table;
    for (let slot = 0; slot < count; slot++) {
      if (!this.#table.isOpen(slot)) continue;
      const drops = this.#reader.drops(this.#table.handle(slot));
      this.#matcher.count("requestRingFull", Math.max(0, drops - (this.#drops[slot] ?? 0)));
      this.#drops[slot] = drops;
    }
  }

  /** Nothing to do: the main thread closes the handles. */
  close(): void {}

  #drainOne(slot: number, sink: (packet: Packet) => void, limit: number): number {
    const handle = this.#table.handle(slot);
    this.#clocks[slot] ??= new PacketClock();
    const clock = this.#clocks[slot]!;
    clock.update();
    let done = 0;
    while (done < limit) {
      const result = this.#reader.next(handle);
      if (result < 0) this.#lose(slot);
      if (result <= 0) break;
      done++;
      if (this.#take(slot, clock)) this.#parts.pass(this.#packet, sink);
    }
    return done;
  }

  /** Whom a frame was sent to, by its destination MAC, which has the group bit for multicast and broadcast. */
  #sentTo(slot: number, view: DataView): SentTo {
    if (this.#table.takes(slot, view, 0)) return TO_HOST;
    return view.getUint8(0) & 1 ? TO_GROUP : TO_OTHER;
  }

  /** Stops reading from an interface that is gone, whose descriptor would stay readable. One that is down works again later. */
  #lose(slot: number): void {
    if (interfaceName(this.#table.ifindex(slot)) !== null) return;
    this.#table.end(slot);
    stopWatching(this.config.watched, this.#table.descriptor(slot));
  }

  #take(slot: number, clock: PacketClock): boolean {
    const { captured, length, view, seconds, microseconds } = this.#reader;
    if (captured <= OWN_PACKET_BYTES) {
      this.#matcher.count("ownMark", 1);
      return false;
    }
    const linkType = this.#table.linkType(slot);
    const ip = networkLayer(view, 0, captured, linkType);
    if (ip < 0) return false;
    const isEthernet = linkType === LINK_ETHERNET && captured >= ETHERNET_HEADER;
    this.#packet.time = clock.monotonic(seconds, microseconds * 1000);
    return this.#matcher.match(
      this.#packet,
      view.getUint8(ip) >> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP,
      ip,
      captured,
      length,
      isEthernet ? this.#sentTo(slot, view) : TO_HOST,
      this.#table.ifindex(slot),
    );
  }
}
