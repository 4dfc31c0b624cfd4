/**
 * Answers of the targets from a packet socket, for hosts without eBPF: the TCP packets that bpf/response/response.bpf.c takes,
 * but the socket cannot drop them. A netfilter rule (src/netfilter) must keep them from this host's TCP; netfilter comes after
 * packet sockets.
 */
import { ReceivedPackets, socketDrops } from "../../native/raw-socket.ts";
import { IPPROTO_TCP } from "../../wire/ip.ts";
import { IP_OK, IpHeader, parseIp } from "../../wire/ip-header.ts";
import { Packet } from "../../wire/packet.ts";
import { KERNEL_COUNTERS, type KernelCounter } from "../counters.ts";
import { Parts } from "../parts.ts";
import type { RequestSource } from "../source.ts";
import { PacketClock } from "./clock.ts";
import { type AnsweredPath, PathTable } from "./path-table.ts";

export interface ResponseSocketConfig {
  socket: number;
  paths: AnsweredPath[];
  /** As in MatchConfig. */
  counters: SharedArrayBuffer;
  /** Bytes of each packet that are captured: RESPONSE_BYTES, or more where a protocol module reads answers. */
  packetBytes: number;
}

/** Packets per recvmmsg, and bytes of each: all headers, and what an ICMP error quotes. */
const BATCH = 64;
export const RESPONSE_BYTES = 256;
const TCP_HEADER = 20;
const ICMP_HEADER = 8;
const ICMP = 1;
const ICMP6 = 58;
const UNREACHABLE = 3;
const FRAGMENTATION_NEEDED = 4;
const PACKET_TOO_BIG = 2;

export class ResponseSource implements RequestSource {
  readonly descriptors: readonly number[];
  readonly #received: ReceivedPackets;
  #paths: PathTable;
  readonly #answered: AnsweredPath[];
  readonly #counters: Float64Array;
  readonly #clock = new PacketClock();
  readonly #packet: Packet;
  readonly #parts = new Parts();
  readonly #header = new IpHeader();
  readonly #quoted = new IpHeader();
  #drops: number;

  constructor({ socket, paths, counters, packetBytes }: ResponseSocketConfig) {
    this.#received = new ReceivedPackets(BATCH, packetBytes, 0);
    this.descriptors = [socket];
    this.#answered = [...paths];
    this.#paths = new PathTable(paths);
    this.#counters = new Float64Array(counters);
    this.#packet = new Packet(this.#received.bytes);
    this.#drops = socketDrops(socket);
  }

  /** Always: the socket itself is readable while packets wait. */
  get isEmpty(): boolean {
    return true;
  }

  drain(sink: (packet: Packet) => void, limit: number): number {
    let done = 0;
    let count = BATCH;
    while (done < limit && count === BATCH) {
      count = this.#received.receive(this.descriptors[0]!, BATCH);
      if (count > 0) this.#clock.update();
      for (let index = 0; index < count; index++) if (this.#take(index)) this.#parts.pass(this.#packet, sink);
      done += count;
    }
    return done;
  }

  count(): void {
    const drops = socketDrops(this.descriptors[0]!);
    this.#add("responseRingFull", drops - this.#drops);
    this.#drops = drops;
  }

  /** Answers on a path come to another address from now on; null: to the same. */
  move(path: number, { source }: { source: Uint8Array | null }): void {
    if (source === null) return;
    this.#answered[path] = { ...this.#answered[path]!, local: source };
    this.#paths = new PathTable(this.#answered);
  }

  /** One more path. */
  addPath({
    config: { target, local, targetPort },
  }: {
    config: { target: Uint8Array; local: Uint8Array | null; targetPort: number };
  }): void {
    this.#answered.push({ target, local: local!, targetPort });
    this.#paths = new PathTable(this.#answered);
  }

  /** Nothing to do: the main thread closes the socket. */
  close(): void {}

  #add(counter: KernelCounter, amount: number): void {
    this.#counters[KERNEL_COUNTERS.indexOf(counter)]! += amount;
  }

  #take(index: number): boolean {
    const received = this.#received;
    const { view } = received;
    const at = received.offset(index);
    const end = at + received.captured(index);
    const header = this.#header;
    if (parseIp(view, at, end, at + received.length(index), header) !== IP_OK || header.isFragment)
      return false;
    received.read(index);
    const packet = this.#packet;
    packet.time = this.#clock.monotonic(received.seconds, received.nanoseconds);
    packet.ip = at;
    packet.end = header.end;
    packet.ifindex = received.ifindex;
    if (header.protocol !== IPPROTO_TCP) return this.#takeError(header, end);
    const { transport, length } = header;
    if (transport + TCP_HEADER > end) return false;
    const payload = transport + (view.getUint8(transport + 12) >> 4) * 4;
    if (payload < transport + TCP_HEADER || payload > at + length) return false;
    const path = this.#find(header, transport, true);
    if (path < 0) return false;
    packet.tcp = transport;
    packet.payload = payload;
    packet.length = at + length - payload;
    packet.index = path;
    this.#add("responsesCaptured", 1);
    this.#add("responseBytes", length);
    return true;
  }

  /** An ICMP message that a packet of ours was too big: a record without a TCP header. */
  #takeError({ family, protocol, transport }: IpHeader, end: number): boolean {
    const { view } = this.#received;
    if (transport + ICMP_HEADER > end) return false;
    const type = view.getUint8(transport);
    const isTooBig =
      family === 4
        ? protocol === ICMP && type === UNREACHABLE && view.getUint8(transport + 1) === FRAGMENTATION_NEEDED
        : protocol === ICMP6 && type === PACKET_TOO_BIG;
    if (!isTooBig) return false;
    const quoted = this.#quoted;
    const at = transport + ICMP_HEADER;
    // The message may quote only the first bytes of the packet.
    if (parseIp(view, at, end, end, quoted) !== IP_OK || quoted.protocol !== IPPROTO_TCP) return false;
    if (quoted.transport + 4 > end) return false;
    const path = this.#find(quoted, quoted.transport, false);
    const packet = this.#packet;
    packet.tcp = packet.ip;
    packet.payload = packet.ip;
    packet.length = 0;
    packet.index = path;
    return path >= 0;
  }

  /** Index of the path of a packet, -1 if there is none. `fromTarget`: whether the packet is from the target, else to it. */
  #find({ ip, family }: IpHeader, transport: number, fromTarget: boolean): number {
    const { bytes, view } = this.#received;
    const length = family === 4 ? 4 : 16;
    const source = ip + (family === 4 ? 12 : 8);
    const destination = source + length;
    return fromTarget
      ? this.#paths.find(bytes, source, destination, length, view.getUint16(transport))
      : this.#paths.find(bytes, destination, source, length, view.getUint16(transport + 2));
  }
}
