/** Watches live packets for some seconds by a packet socket: nothing is attached, and memory and packets are bounded. */
import {
  ETHERTYPE_IP,
  ETHERTYPE_IPV6,
  EXTENSIONS,
  PROTOCOL,
  TCP,
  UDP,
} from "../../capture/socket/packet-fields.ts";
import {
  ClassicAssembler,
  EQUAL,
  HAS_BITS,
  LOAD_BYTE,
  LOAD_BYTE_INDEXED,
  LOAD_HALF,
  LOAD_HALF_INDEXED,
  LOAD_WORD,
  LOAD_X_HEADER,
} from "../../filter/classic-assembler.ts";
import { attachSocketFilter } from "../../filter/socket.ts";
import { libc } from "../../native/libc.ts";
import { openPlainPacketSocket, startPacketSockets } from "../../native/packet-socket.ts";
import { ReceivedPackets, socketDrops } from "../../native/raw-socket.ts";
import { IP_OK, IpHeader, parseIp } from "../../wire/ip-header.ts";
import { SYN } from "../../wire/tcp.ts";
import type { Traffic } from "./traffic.ts";

/** Bytes of the receive buffer; packets in all, of each so many bytes, and at a time. */
const BUFFER = 8 << 20;
const COUNTING_BUFFER = 1 << 20;
const MOST_PACKETS = 200_000;
const PACKET_BYTES = 1536;
const BATCH = 64;
/** ms between two looks at the socket, and packets that are taken at each. */
const INTERVAL = 10;
const MOST_AT_ONCE = 2048;
const PACKET_OUTGOING = 4;
/** linux/in.h: the fragment offset. */
const OFFSET_BITS = 0x1fff;

export interface Watched {
  /** Seconds that were watched: fewer than asked for where there were too many packets, more where something else was busy. */
  seconds: number;
  /** Packets for which there was no room. */
  lost: number;
  /** Packets to the ports that -F lets through; null: there is no -F. */
  passed: number | null;
}

export interface Ports {
  ports: readonly number[];
  datagramPorts: readonly number[];
}

/**
 * Instructions that take TCP and UDP from and to these ports, and the first packet of every TCP connection; with `front`, -F
 * compiled for packets without link layer, what it lets through to the ports, and no more of it than can be counted.
 */
export function sniffFilter({ ports, datagramPorts }: Ports, front: Uint8Array | null = null): Uint8Array {
  const program = new ClassicAssembler();
  const [accept, reject] = [program.label(), program.label()];
  if (front) {
    const isWanted = program.label();
    program.embed(front, isWanted, reject);
    program.place(isWanted);
  }
  const [isIp4, isIp6] = [program.label(), program.label()];
  program.emit(LOAD_WORD, PROTOCOL);
  program.jumpIf(EQUAL, ETHERTYPE_IP, isIp4);
  program.jumpIf(EQUAL, ETHERTYPE_IPV6, isIp6);
  program.jump(reject);
  /** `load`: of a half word, or a byte, at an offset in the transport header. */
  const match = (half: (at: number) => void, byte: (at: number) => void, isTcp: boolean) => {
    for (const at of front ? [2] : [2, 0]) {
      half(at);
      for (const port of new Set(isTcp ? ports : datagramPorts)) program.jumpIf(EQUAL, port, accept);
    }
    if (isTcp && !front) {
      byte(13);
      program.jumpIf(HAS_BITS, SYN, accept);
    }
    program.jump(reject);
  };
  const choose = (half: (at: number) => void, byte: (at: number) => void) => {
    const [tcp, udp] = [program.label(), program.label()];
    program.jumpIf(EQUAL, TCP, tcp);
    program.jumpIf(EQUAL, UDP, udp);
    program.jump(reject);
    program.place(tcp);
    match(half, byte, true);
    program.place(udp);
    match(half, byte, false);
  };
  program.place(isIp4);
  program.emit(LOAD_HALF, 6);
  program.jumpIf(HAS_BITS, OFFSET_BITS, reject);
  program.emit(LOAD_X_HEADER, 0);
  program.emit(LOAD_BYTE, 9);
  choose(
    (at) => program.emit(LOAD_HALF_INDEXED, at),
    (at) => program.emit(LOAD_BYTE_INDEXED, at),
  );
  program.place(isIp6);
  program.emit(LOAD_BYTE, 6);
  // Only what is looked at says which of these go to a port.
  for (const extension of front ? [] : EXTENSIONS) program.jumpIf(EQUAL, extension, accept);
  choose(
    (at) => program.emit(LOAD_HALF, 40 + at),
    (at) => program.emit(LOAD_BYTE, 40 + at),
  );
  program.place(accept);
  program.return(front ? 1 : PACKET_BYTES);
  program.place(reject);
  program.return(0);
  return program.bytes();
}

/** What is watched, and for how long. */
export interface WatchOptions extends Ports {
  /** -F, compiled for packets without link layer; null: none. */
  front: Uint8Array | null;
  isOutgoing: boolean;
  /** Index of the interface on which each packet is seen as it leaves and as it comes. */
  loopback: number;
  /** ms, or longer: as long as `isBusy` then. */
  span: number;
  isBusy(): boolean;
}

/**
 * Shows `traffic` what passes all interfaces. Throws a Failure: 4 without privilege, 5 where the kernel cannot, 2 where it does not
 * take -F.
 */
export async function watchTraffic(traffic: Traffic, options: WatchOptions): Promise<Watched> {
  const { front, isOutgoing, loopback, span, isBusy } = options;
  const sockets: number[] = [];
  const open = (filter: Uint8Array, bytes: number): number => {
    const socket = openPlainPacketSocket(bytes, true);
    sockets.push(socket);
    attachSocketFilter(socket, filter);
    startPacketSockets([socket], false);
    return socket;
  };
  try {
    const counting = front && open(sniffFilter(options, front), COUNTING_BUFFER);
    const socket = open(sniffFilter(options), BUFFER);
    const received = new ReceivedPackets(BATCH, PACKET_BYTES, 0);
    const header = new IpHeader();
    const start = performance.now();
    let elapsed = 0;
    let passed = 0;
    while ((elapsed < span || isBusy()) && traffic.packets < MOST_PACKETS) {
      await Bun.sleep(elapsed < span ? Math.min(INTERVAL, span - elapsed) : INTERVAL);
      elapsed = performance.now() - start;
      takeAll(socket, received, header, traffic, loopback);
      if (counting) passed += countAll(counting, received, isOutgoing);
    }
    return { seconds: elapsed / 1000, lost: socketDrops(socket), passed: counting ? passed : null };
  } finally {
    for (const socket of sockets) libc.close(socket);
  }
}

/** Takes what a socket has, and counts what copy would take by its direction. */
function countAll(socket: number, received: ReceivedPackets, isOutgoing: boolean): number {
  let passed = 0;
  for (let done = 0; done < MOST_AT_ONCE; done += BATCH) {
    const count = received.receive(socket, BATCH);
    for (let index = 0; index < count; index++)
      if ((received.linkOf(index).packetType === PACKET_OUTGOING) === isOutgoing) passed++;
    if (count < BATCH) break;
  }
  return passed;
}

function takeAll(
  socket: number,
  received: ReceivedPackets,
  header: IpHeader,
  traffic: Traffic,
  loopback: number,
): void {
  for (let done = 0; done < MOST_AT_ONCE; done += BATCH) {
    const count = received.receive(socket, BATCH);
    for (let index = 0; index < count; index++) {
      const at = received.offset(index);
      const end = at + received.captured(index);
      const { ifindex, packetType } = received.linkOf(index);
      const leaves = packetType === PACKET_OUTGOING;
      if (leaves && ifindex === loopback) continue;
      if (parseIp(received.view, at, end, at + received.length(index), header) !== IP_OK) continue;
      traffic.see(received.bytes, received.view, header, { ifindex, leaves });
    }
    if (count < BATCH) return;
  }
}
