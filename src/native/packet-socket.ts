/** Opens packet sockets for capture (packet(7)), with or without a ring of TPACKET_V3 blocks. */
import { blockTimeout } from "./block-timeout.ts";
import { Failure } from "./failure.ts";
import {
  AF_PACKET,
  address,
  EPERM,
  errno,
  libc,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_PACKET,
  strerror,
} from "./libc.ts";

import { setReceiveBuffer, setTimestamps } from "./raw-socket.ts";

/** linux/if_packet.h. */
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const PACKET_FANOUT = 18;
const PACKET_FANOUT_DATA = 22;
const PACKET_IGNORE_OUTGOING = 23;
const TPACKET_V3 = 2;
const FANOUT_CBPF = 6;
const FANOUT_FLAG_UNIQUE_ID = 0x2000;
const FANOUT_FLAG_IGNORE_OUTGOING = 0x4000;
const FANOUT_FLAG_DEFRAG = 0x8000;
const ETH_P_ALL = 3;

const statistics = new Uint32Array(new ArrayBuffer(12));
const statisticsLength = new Uint32Array(new ArrayBuffer(4));

function failure(code: number): Failure {
  const message = `Cannot open a packet socket: ${strerror(code)}`;
  if (code === EPERM) {
    return new Failure(message, "Run as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN.", 4);
  }
  return new Failure(message, "Give a smaller -B, or use another --capture.", 5);
}

function option(socket: number, name: number, ...values: number[]): number {
  const bytes = new Uint32Array(new ArrayBuffer(values.length * 4));
  bytes.set(values);
  return libc.setsockopt(socket, SOL_PACKET, name, address(bytes), bytes.byteLength) === 0 ? 0 : errno();
}

/**
 * A packet socket that receives nothing until it is bound, with a ring of `blocks` blocks of `blockBytes` (a multiple of
 * the page size). With `ignoresOutgoing`, packets that leave this host are left out, where the kernel can (Linux 4.20).
 * Throws a Failure: 4 without privilege, 5 where the kernel cannot.
 */
export function openPacketSocket(blocks: number, blockBytes: number, ignoresOutgoing: boolean): number {
  const socket = Number(libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (socket < 0) throw failure(errno());
  // struct tpacket_req3. TPACKET_V3 ignores the frame size, but it must divide the block size.
  const request = [blockBytes, blocks, blockBytes, blocks, blockTimeout(blocks), 0, 0];
  const code = option(socket, PACKET_VERSION, TPACKET_V3) || option(socket, PACKET_RX_RING, ...request);
  if (code !== 0) {
    libc.close(socket);
    throw failure(code);
  }
  if (ignoresOutgoing) option(socket, PACKET_IGNORE_OUTGOING, 1);
  return socket;
}

/**
 * A packet socket without a ring, for recvmmsg(2), that receives nothing until it is bound. Packets begin with their network
 * header and have a timestamp; those that leave this host are left out, unless `seesOutgoing`. `bufferBytes`: of its receive
 * buffer. Throws a Failure: 4 without privilege, 5 where the kernel cannot.
 */
export function openPlainPacketSocket(bufferBytes: number, seesOutgoing = false): number {
  const socket = Number(libc.socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket < 0) throw failure(errno());
  setReceiveBuffer(socket, bufferBytes);
  setTimestamps(socket);
  if (!seesOutgoing) option(socket, PACKET_IGNORE_OUTGOING, 1);
  return socket;
}

/**
 * From now on the sockets receive the packets of all interfaces, those that leave only without `ignoresOutgoing`. With several
 * sockets `chooser` (classic BPF, struct sock_filter) returns the index of the one that gets a packet; with `putsTogether` the kernel
 * puts IPv4 fragments together first. Throws a Failure (5).
 */
export function startPacketSockets(
  sockets: readonly number[],
  ignoresOutgoing: boolean,
  chooser: Uint8Array | null = null,
  putsTogether = false,
): void {
  const link = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll; interface 0: all
  link.setUint16(0, AF_PACKET, true);
  link.setUint16(2, ETH_P_ALL);
  let group = 0;
  for (const [index, socket] of sockets.entries()) {
    let code = libc.bind(socket, address(link), link.byteLength) === 0 ? 0 : errno();
    if (code === 0 && sockets.length > 1) {
      const ignore = ignoresOutgoing ? FANOUT_FLAG_IGNORE_OUTGOING : 0;
      const always = putsTogether ? FANOUT_FLAG_DEFRAG : 0;
      const join = (flags: number) =>
        option(socket, PACKET_FANOUT, group | (((FANOUT_CBPF | always | flags) << 16) >>> 0));
      const unique = index === 0 ? FANOUT_FLAG_UNIQUE_ID : 0;
      // Kernels before 5.14 do not know the flag; the socket's filter then does the same, with more CPU time.
      code = join(unique | ignore) && join(unique);
      if (index === 0) {
        group = groupOf(socket);
        if (code === 0 && chooser) code = setChooser(socket, chooser);
      }
    }
    if (code !== 0) throw failure(code);
  }
}

/** Sets the program by which the fanout group of a socket chooses. Returns an errno, or 0. */
function setChooser(socket: number, instructions: Uint8Array): number {
  const program = new DataView(new ArrayBuffer(16)); // struct sock_fprog
  program.setUint16(0, instructions.length / 8, true);
  program.setBigUint64(8, BigInt(address(instructions)), true);
  const length = program.byteLength;
  return libc.setsockopt(socket, SOL_PACKET, PACKET_FANOUT_DATA, address(program), length) === 0
    ? 0
    : errno();
}

/** The id that the kernel gave to the fanout group of a socket. */
function groupOf(socket: number): number {
  const value = new Uint32Array(new ArrayBuffer(4));
  const length = new Uint32Array(new ArrayBuffer(4)).fill(4);
  libc.getsockopt(socket, SOL_PACKET, PACKET_FANOUT, address(value), address(length));
  return value[0]! & 0xffff;
}

/** Packets that matched and found no room in the ring since the last call. Only one thread may call it for a socket. */
export function packetDrops(socket: number): number {
  statisticsLength[0] = statistics.byteLength;
  const result = libc.getsockopt(
    socket,
    SOL_PACKET,
    PACKET_STATISTICS,
    address(statistics),
    address(statisticsLength),
  );
  return result === 0 ? statistics[1]! : 0;
}
