/** Requests from packet sockets. */
import { packetDrops } from "../../native/packet-socket.ts";
import { Packet } from "../../wire/packet.ts";
import type { Control } from "../control.ts";
import { Parts } from "../parts.ts";
import type { RequestSource, SourceConfig } from "../source.ts";
import { PacketClock } from "./clock.ts";
import { FROM_HOST, type SentTo, TO_GROUP, TO_HOST, TO_OTHER } from "./datagram-matcher.ts";
import { isTag, Matcher } from "./matcher.ts";
import { ETHERNET_HEADER, OWN_PACKET_BYTES } from "./packet-fields.ts";
import { PacketRing } from "./packet-ring.ts";

/** linux/if_packet.h: PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST, PACKET_OUTGOING. */
const SENT_TO: SentTo[] = [TO_HOST, TO_GROUP, TO_GROUP, TO_OTHER, FROM_HOST];
/** The same where requests leave this host. */
const LEAVING: SentTo[] = [TO_HOST, TO_GROUP, TO_GROUP];

/** All packets of a flow come by one ring (fanout.ts), so the rings need no common order. */
export class PacketSource implements RequestSource {
  isFilling = false;
  readonly descriptors: readonly number[];
  readonly #rings: PacketRing[];
  readonly #matcher: Matcher;
  readonly #sentTo: SentTo[];
  readonly #clocks: PacketClock[];
  readonly #packet = new Packet(new Uint8Array(0));
  readonly #parts = new Parts();

  constructor(
    { sockets, blocks, blockBytes, match }: Extract<SourceConfig, { kind: "packet" }>,
    control: Control,
  ) {
    this.descriptors = sockets;
    this.#rings = sockets.map((socket) => new PacketRing(socket, blocks, blockBytes));
    this.#clocks = sockets.map(() => new PacketClock());
    this.#matcher = new Matcher(match, control);
    this.#sentTo = match.isOutgoing ? LEAVING : SENT_TO;
  }

  get isEmpty(): boolean {
    for (const ring of this.#rings) if (ring.hasPacket) return false;
    return true;
  }

  drain(sink: (packet: Packet) => void, limit: number, before = Infinity, bytes = Infinity): number {
    let done = 0;
    let left = bytes;
    this.isFilling = false;
    for (let index = 0; index < this.#rings.length; index++) {
      const ring = this.#rings[index]!;
      if (!ring.hasPacket) continue;
      if (ring.isFilling) this.isFilling = true;
      const clock = this.#clocks[index]!;
      clock.update();
      while (done < limit && left > 0 && ring.hasPacket) {
        const time = clock.monotonic(ring.seconds, ring.nanoseconds);
        if (time > before) break;
        done++;
        left -= ring.captured;
        if (this.#take(ring, time)) this.#parts.pass(this.#packet, sink);
        ring.next();
      }
    }
    return done;
  }

  setServices(...services: Parameters<Matcher["setServices"]>): void {
    this.#matcher.setServices(...services);
  }

  count(): void {
    for (const socket of this.descriptors) this.#matcher.count("requestRingFull", packetDrops(socket));
  }

  /** Nothing to do: the main thread closes the sockets, and the memory stays mapped until the process ends. */
  close(): void {}

  #take(ring: PacketRing, time: number): boolean {
    if (ring.captured <= OWN_PACKET_BYTES) {
      this.#matcher.count("ownMark", 1);
      return false;
    }
    const packet = this.#packet;
    packet.bytes = ring.bytes;
    packet.view = ring.view;
    packet.time = time;
    packet.isVerified = ring.isVerified;
    const { link, protocol } = ring;
    return this.#matcher.match(
      packet,
      protocol,
      isTag(protocol) ? firstTag(ring) : ring.network,
      link + ring.captured,
      link + ring.length,
      this.#sentTo[ring.packetType] ?? TO_OTHER,
      ring.ifindex,
    );
  }
}

/** Where the first VLAN tag is: of what leaves, Linux sets the network header behind the tags. */
function firstTag({ link, network }: PacketRing): number {
  return network - link > ETHERNET_HEADER ? link + ETHERNET_HEADER : network;
}
