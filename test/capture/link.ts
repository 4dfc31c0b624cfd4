/** Two namespaces joined by a veth pair: frames that one sends are captured in the other. */
import { dlopen, FFIType } from "bun:ffi";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import {
  AF_NETLINK,
  AF_PACKET,
  address,
  libc,
  PACKET_VNET_HDR,
  SOCK_RAW,
  SOL_PACKET,
} from "../../src/native/libc.ts";
import { command, Namespace } from "../bpf/namespace.ts";

const { ioctl } = dlopen("libc.so.6", {
  ioctl: { args: [FFIType.i32, FFIType.u64_fast, FFIType.ptr], returns: FFIType.i32 },
}).symbols;

const VNET_HEADER = 10;
const RTM_NEWLINK = 16;
const NLM_F_REQUEST = 1;
/** IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE. */
const IFLA_LARGEST = [41, 58, 63, 64];
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;

const QUIET =
  "table ip6 quiet { chain out { type filter hook output priority 0; meta l4proto icmpv6 drop; }; }";

export const HOST_MAC = [2, 0, 0, 0, 0, 2];

export class Link {
  /** The name and index of the interface in `host`; in `client` it is "xca". */
  readonly interface = "xcb";
  readonly ifindex: number;
  readonly host = new Namespace();
  readonly client = new Namespace();
  readonly #socket: number;

  /** The host has the addresses 10.0.0.2 and fd00::2. IPv6 may be sent as large as it allows, IPv4 nearly so. */
  constructor() {
    const peer = [
      "type",
      "veth",
      "peer",
      "name",
      "xcb",
      "address",
      "02:00:00:00:00:02",
      "netns",
      this.host.name,
    ];
    // Neither end speaks by itself: sockets see that as well, and may count it as lost.
    for (const end of [this.client, this.host]) end.run("nft", QUIET);
    this.client.ip("link", "add", "xca", "address", "02:00:00:00:00:01", ...peer);
    this.host.ip("addr", "add", "10.0.0.2/24", "dev", "xcb");
    this.host.ip("addr", "add", "fd00::2/64", "dev", "xcb", "nodad");
    this.host.ip("link", "set", "xcb", "mtu", "9000", "up");
    const sizes = ["mtu", "9000", "gso_max_size", "80000"];
    this.client.ip("link", "set", "xca", ...sizes, "up");
    this.ifindex = this.host.ifindex("xcb");
    this.#socket = openSender(this.client, this.client.ifindex("xca"));
  }

  /** Sends a frame as it is; all but its first `linear` bytes lie outside the linear part of the packet. */
  send(frame: Uint8Array, linear = frame.length): void {
    const header = new DataView(new ArrayBuffer(VNET_HEADER));
    header.setUint16(2, linear, true);
    this.#write(header, frame);
  }

  /**
   * Sends a frame without options that still is to be cut into segments (TSO), as GRO would join them. `extensions`: bytes of
   * IPv6 extension headers.
   */
  sendLarge(frame: Uint8Array, segmentSize: number, extensions = 0): void {
    this.#write(headerOfLarge(frame, segmentSize, extensions), frame);
  }

  /**
   * Packets of `send` that the kernel had no room for before anything could capture them (ptr_ring of veth, the backlog of a
   * CPU), in all.
   */
  dropped(): number {
    return droppedAt(this.client, "xca").tx + droppedAt(this.host, "xcb").rx;
  }

  remove(): void {
    libc.close(this.#socket);
    this.client.remove();
    this.host.remove();
  }

  #write(header: DataView, frame: Uint8Array): void {
    const bytes = new Uint8Array(new ArrayBuffer(VNET_HEADER + frame.length));
    bytes.set(new Uint8Array(header.buffer));
    bytes.set(frame, VNET_HEADER);
    const sent = Number(libc.write(this.#socket, bytes, bytes.length));
    if (sent !== bytes.length) throw new Error(`Cannot send a frame of ${frame.length} bytes`);
  }
}

/** The struct virtio_net_hdr of a TCP packet without options that still is to be cut: see `sendLarge`. */
export function headerOfLarge(frame: Uint8Array, segmentSize: number, extensions = 0): DataView {
  const version6 = frame[12] === 0x86;
  const tcp = 14 + (version6 ? 40 + extensions : 20);
  const header = new DataView(new ArrayBuffer(VNET_HEADER));
  header.setUint8(0, 1); // VIRTIO_NET_HDR_F_NEEDS_CSUM
  header.setUint8(1, version6 ? 4 : 1); // VIRTIO_NET_HDR_GSO_TCPV6, _TCPV4
  header.setUint16(2, tcp + 20, true);
  header.setUint16(4, segmentSize, true);
  header.setUint16(6, tcp, true);
  header.setUint16(8, 16, true);
  return header;
}

function droppedAt(namespace: Namespace, name: string): { rx: number; tx: number } {
  const [{ stats64 }] = JSON.parse(command("ip", "-n", namespace.name, "-s", "-j", "link", "show", name));
  return { rx: stats64.rx.dropped, tx: stats64.tx.dropped };
}

/** A packet socket that sends frames with a struct virtio_net_hdr in front. */
export function openSender(namespace: Namespace, ifindex: number): number {
  return namespace.enter(() => {
    const fd = Number(libc.socket(AF_PACKET, SOCK_RAW, 0));
    libc.setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, Int32Array.of(1), 4);
    const to = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll
    to.setUint16(0, AF_PACKET, true);
    to.setInt32(4, ifindex, true);
    if (libc.bind(fd, address(to), 20) !== 0) throw new Error("Cannot bind a packet socket");
    return fd;
  });
}

/** Sends a frame by a socket of `openSender`. `header`: its struct virtio_net_hdr. */
export function writeFrame(socket: number, bytes: Uint8Array, header?: DataView): void {
  const whole = new Uint8Array(new ArrayBuffer(10 + bytes.length));
  if (header) whole.set(new Uint8Array(header.buffer));
  whole.set(bytes, 10);
  if (Number(libc.write(socket, address(whole), whole.length)) !== whole.length)
    throw new Error("Cannot send a frame");
}

/** A tun interface in a namespace: packets without a MAC header come in where IP packets are written. */
export class Tun {
  readonly ifindex: number;
  readonly #fd: number;

  constructor(namespace: Pick<Namespace, "enter" | "ip" | "ifindex">, name: string) {
    const request = new DataView(new ArrayBuffer(40)); // struct ifreq
    new Uint8Array(request.buffer).set(new TextEncoder().encode(name));
    request.setUint16(16, IFF_TUN | IFF_NO_PI, true);
    this.#fd = namespace.enter(() => {
      const fd = openSync("/dev/net/tun", constants.O_RDWR | constants.O_NONBLOCK);
      if (ioctl(fd, TUNSETIFF, new Uint8Array(request.buffer)) !== 0) throw new Error("Cannot make a tun");
      return fd;
    });
    namespace.ip("link", "set", name, "up");
    this.ifindex = namespace.ifindex(name);
  }

  receive(packet: Uint8Array): void {
    writeSync(this.#fd, packet);
  }

  remove(): void {
    closeSync(this.#fd);
  }
}

/** Sets the size up to which GRO joins and GSO leaves packets whole on an interface: above 65536 that is BIG TCP. */
export function setLargest(namespace: Pick<Namespace, "enter">, ifindex: number, bytes: number): void {
  const message = new DataView(new ArrayBuffer(32 + IFLA_LARGEST.length * 8));
  // struct nlmsghdr, struct ifinfomsg.
  message.setUint32(0, message.byteLength, true);
  message.setUint16(4, RTM_NEWLINK, true);
  message.setUint16(6, NLM_F_REQUEST, true);
  message.setInt32(20, ifindex, true);
  for (const [index, type] of IFLA_LARGEST.entries()) {
    message.setUint16(32 + index * 8, 8, true);
    message.setUint16(34 + index * 8, type, true);
    message.setUint32(36 + index * 8, bytes, true);
  }
  namespace.enter(() => {
    const fd = Number(libc.socket(AF_NETLINK, SOCK_RAW, 0));
    libc.write(fd, new Uint8Array(message.buffer), message.byteLength);
    libc.close(fd);
  });
}
