/** Raw IP sockets that capture TCP and UDP: raw(7), with the time, interface and destination of each packet. */
import { Failure } from "./failure.ts";
import {
  AF_INET,
  AF_INET6,
  address,
  EPERM,
  errno,
  IPPROTO_IP,
  IPPROTO_IPV6,
  libc,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  strerror,
} from "./libc.ts";

const SO_TIMESTAMPNS = 35;
const SO_MEMINFO = 55;
const IP_PKTINFO = 8;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
/** Index of the drops in the result of SO_MEMINFO (SK_MEMINFO_DROPS). */
const DROPS = 8;
const MEMORY_WORDS = 9;

function setOption(socket: number, level: number, option: number, value: number): number {
  const words = new Int32Array(new ArrayBuffer(4)).fill(value);
  return libc.setsockopt(socket, level, option, address(words), 4) === 0 ? 0 : errno();
}

/**
 * A raw socket for packets of a family and protocol (IPPROTO_TCP or IPPROTO_UDP) to this host, after reassembly. `bufferBytes`:
 * of its receive buffer. Throws a Failure: 4 without privilege, else 5.
 */
export function openRawSocket(family: 4 | 6, protocol: number, bufferBytes: number): number {
  const socket = Number(libc.socket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, protocol));
  const code = socket < 0 ? errno() : prepare(socket, family, bufferBytes);
  if (code === 0) return socket;
  if (socket >= 0) libc.close(socket);
  const message = `Cannot open a raw IPv${family} socket: ${strerror(code)}`;
  throw code === EPERM
    ? new Failure(message, "Run as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN.", 4)
    : new Failure(message, "Use another --capture.", 5);
}

function prepare(socket: number, family: 4 | 6, bufferBytes: number): number {
  setReceiveBuffer(socket, bufferBytes);
  const information =
    family === 4
      ? setOption(socket, IPPROTO_IP, IP_PKTINFO, 1)
      : setOption(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  return information || setTimestamps(socket);
}

/** Sets the size of the receive buffer. */
export function setReceiveBuffer(socket: number, bytes: number): void {
  // SO_RCVBUF, which needs no CAP_NET_ADMIN, is limited by net.core.rmem_max.
  if (setOption(socket, SOL_SOCKET, SO_RCVBUFFORCE, bytes) !== 0) {
    setOption(socket, SOL_SOCKET, SO_RCVBUF, bytes);
  }
}

/** Has the kernel give the time of reception with each packet (SO_TIMESTAMPNS). Returns 0, or errno. */
export function setTimestamps(socket: number): number {
  return setOption(socket, SOL_SOCKET, SO_TIMESTAMPNS, 1);
}

/** Discards what a socket has received. */
export function emptySocket(socket: number): void {
  const byte = new Uint8Array(new ArrayBuffer(1));
  while (Number(libc.recv(socket, address(byte), 1, MSG_DONTWAIT)) >= 0);
}

/** Packets that a socket's receive buffer had no room for, since it was opened. */
export function socketDrops(socket: number): number {
  const words = new Uint32Array(new ArrayBuffer(MEMORY_WORDS * 4));
  const length = new Uint32Array(new ArrayBuffer(4)).fill(words.byteLength);
  const result = libc.getsockopt(socket, SOL_SOCKET, SO_MEMINFO, address(words), address(length));
  return result === 0 ? words[DROPS]! : 0;
}

/** Bytes of struct mmsghdr, of struct sockaddr_in6 (the longest name), and of the control messages of a packet. */
const MESSAGE = 64;
const NAME = 28;
const CONTROL = 96;

/** Receives packets by recvmmsg(2) into buffers that are allocated once and reused; offsets of a packet are into `bytes`. */
export class ReceivedPackets {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Of the packet of the last `read`: when it was received (CLOCK_REALTIME), and by which interface. */
  seconds = 0;
  nanoseconds = 0;
  ifindex = 0;
  readonly #messages: DataView;
  readonly #messagesAt: number;
  readonly #names: Uint8Array;
  readonly #controls: DataView;
  readonly #controlBytes: Uint8Array;
  readonly #parts: BigUint64Array;

  /** Room for `count` packets of `room` bytes each, with `headroom` bytes in front of each. */
  constructor(
    private readonly count: number,
    private readonly room: number,
    private readonly headroom: number,
  ) {
    this.bytes = new Uint8Array(new ArrayBuffer(count * (room + headroom)));
    this.view = new DataView(this.bytes.buffer);
    this.#messages = new DataView(new ArrayBuffer(count * MESSAGE));
    this.#messagesAt = address(this.#messages);
    this.#names = new Uint8Array(new ArrayBuffer(count * NAME));
    this.#controls = new DataView(new ArrayBuffer(count * CONTROL));
    this.#controlBytes = new Uint8Array(this.#controls.buffer);
    this.#parts = new BigUint64Array(new ArrayBuffer(count * 16));
    const at = address(this.bytes);
    const partsAt = address(this.#parts);
    for (let index = 0; index < count; index++) {
      this.#parts[index * 2] = BigInt(at + this.offset(index));
      this.#parts[index * 2 + 1] = BigInt(room);
      const message = index * MESSAGE;
      this.#pointer(message, address(this.#names) + index * NAME);
      this.#pointer(message + 16, partsAt + index * 16);
      this.#messages.setUint32(message + 24, 1, true);
      this.#pointer(message + 32, address(this.#controls) + index * CONTROL);
    }
  }

  /** Offset of a packet's first byte. */
  offset(index: number): number {
    return index * (this.room + this.headroom) + this.headroom;
  }

  /** Bytes that were received of a packet, and bytes that it had. */
  captured(index: number): number {
    return Math.min(this.room, this.length(index));
  }
  length(index: number): number {
    return this.#messages.getUint32(index * MESSAGE + 56, true);
  }

  /** Takes up to `limit` packets without waiting; returns how many there were. */
  receive(socket: number, limit: number): number {
    const most = Math.min(limit, this.count);
    for (let index = 0; index < most; index++) {
      // The kernel has overwritten both lengths with what it used.
      this.#messages.setUint32(index * MESSAGE + 8, NAME, true);
      this.#messages.setUint32(index * MESSAGE + 40, CONTROL, true);
    }
    const flags = MSG_DONTWAIT | MSG_TRUNC;
    return Math.max(0, libc.recvmmsg(socket, this.#messagesAt, most, flags, null) as number);
  }

  /** Of a packet from a packet socket: the index of its interface, and whom it was to (PACKET_* of linux/if_packet.h). */
  linkOf(index: number): { ifindex: number; packetType: number } {
    const view = new DataView(this.#names.buffer, this.#names.byteOffset + index * NAME);
    return { ifindex: view.getInt32(4, true), packetType: view.getUint8(10) };
  }

  /** Reads the control messages of a packet. */
  read(index: number): void {
    const end = index * CONTROL + this.#messages.getUint32(index * MESSAGE + 40, true);
    const controls = this.#controls;
    // struct cmsghdr: length with the header (8 bytes), level, type (4 each).
    for (let at = index * CONTROL; at + 16 <= end; ) {
      const length = controls.getUint32(at, true);
      if (length < 16) return;
      const level = controls.getInt32(at + 8, true);
      const type = controls.getInt32(at + 12, true);
      if (level === SOL_SOCKET && type === SO_TIMESTAMPNS) {
        this.seconds = controls.getUint32(at + 16, true) + controls.getInt32(at + 20, true) * 2 ** 32;
        this.nanoseconds = controls.getUint32(at + 24, true);
      } else if (level === IPPROTO_IP && type === IP_PKTINFO) {
        this.ifindex = controls.getInt32(at + 16, true);
      } else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) {
        this.ifindex = controls.getInt32(at + 32, true);
        this.#destination = at + 16;
      }
      at += (length + 7) & ~7;
    }
  }
  #destination = 0;

  /**
   * Writes the IPv6 header that raw sockets leave out into the headroom of the packet of the last `read`, with what is known of
   * it: length (0 above 65535 bytes, as BIG TCP has it), `protocol` and addresses. Returns its offset.
   */
  writeIp6Header(index: number, protocol: number): number {
    const ip = this.offset(index) - 40;
    this.view.setUint32(ip, 0x60000000);
    const length = this.length(index);
    this.view.setUint16(ip + 4, length > 0xffff ? 0 : length);
    this.view.setUint16(ip + 6, (protocol << 8) | 64);
    const source = index * NAME + 8;
    for (let i = 0; i < 16; i++) {
      this.bytes[ip + 8 + i] = this.#names[source + i]!;
      this.bytes[ip + 24 + i] = this.#controlBytes[this.#destination + i]!;
    }
    return ip;
  }

  #pointer(at: number, pointer: number): void {
    this.#messages.setBigUint64(at, BigInt(pointer), true);
  }
}
