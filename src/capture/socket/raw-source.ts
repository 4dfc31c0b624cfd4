/** Requests from raw IP sockets. */
import { ReceivedPackets, socketDrops } from "../../native/raw-socket.ts";
import { Packet } from "../../wire/packet.ts";
import type { Control } from "../control.ts";
import { WHOLE_PACKETS } from "../maps.ts";
import { Parts } from "../parts.ts";
import type { RawSocket, RequestSource, SourceConfig } from "../source.ts";
import { PacketClock } from "./clock.ts";
import { TO_HOST } from "./datagram-matcher.ts";
import { ETHERTYPE_IP, ETHERTYPE_IPV6, Matcher } from "./matcher.ts";
import { OWN_PACKET_BYTES } from "./packet-fields.ts";

/** Packets per recvmmsg. */
const BATCH = 32;
const IP6_HEADER = 40;

export class RawSource implements RequestSource {
  readonly descriptors: readonly number[];
  readonly #received = new ReceivedPackets(BATCH, WHOLE_PACKETS, IP6_HEADER);
  readonly #matcher: Matcher;
  /** One for each socket: packets of different sockets have no common order. */
  readonly #clocks: PacketClock[];
  readonly #packet: Packet;
  readonly #parts = new Parts();
  readonly #drops: number[];

  readonly #sockets: RawSocket[];

  constructor({ sockets, match }: Extract<SourceConfig, { kind: "raw" }>, control: Control) {
    this.#sockets = sockets;
    this.descriptors = sockets.map(({ fd }) => fd);
    this.#clocks = this.descriptors.map(() => new PacketClock());
    this.#drops = this.descriptors.map(socketDrops);
    this.#matcher = new Matcher(match, control);
    this.#packet = new Packet(this.#received.bytes);
  }

  /** Always: the sockets themselves are readable while packets wait. */
  get isEmpty(): boolean {
    return true;
  }

  /** Needs no `before`: what the kernel has not handed over is later than the time of the call. */
  drain(sink: (packet: Packet) => void, limit: number): number {
    let done = 0;
    for (let index = 0; index < this.descriptors.length; index++) {
      let count = BATCH;
      while (done < limit && count === BATCH) {
        count = this.#received.receive(this.descriptors[index]!, BATCH);
        if (count > 0) this.#clocks[index]!.update();
        for (let one = 0; one < count; one++)
          if (this.#take(one, index)) this.#parts.pass(this.#packet, sink);
        done += count;
      }
    }
    return done;
  }

  setServices(...services: Parameters<Matcher["setServices"]>): void {
    this.#matcher.setServices(...services);
  }

  count(): void {
    for (const [index, socket] of this.descriptors.entries()) {
      const drops = socketDrops(socket);
      this.#matcher.count("requestRingFull", drops - this.#drops[index]!);
      this.#drops[index] = drops;
    }
  }

  /** Nothing to do: the main thread closes the sockets. */
  close(): void {}

  #take(index: number, socket: number): boolean {
    const received = this.#received;
    const length = received.length(index);
    if (length <= OWN_PACKET_BYTES) {
      this.#matcher.count("ownMark", 1);
      return false;
    }
    received.read(index);
    this.#packet.time = this.#clocks[socket]!.monotonic(received.seconds, received.nanoseconds);
    const { family, protocol } = this.#sockets[socket]!;
    const isIp4 = family === 4;
    const at = received.offset(index);
    const ip = isIp4 ? at : received.writeIp6Header(index, protocol);
    return this.#matcher.match(
      this.#packet,
      isIp4 ? ETHERTYPE_IP : ETHERTYPE_IPV6,
      ip,
      at + received.captured(index),
      at + length,
      TO_HOST,
      received.ifindex,
    );
  }
}
