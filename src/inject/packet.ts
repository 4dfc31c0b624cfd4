/**
 * Sends frames through a packet socket, without the kernel's routing, netfilter and TCP. Each frame has a struct virtio_net_hdr
 * (linux/virtio_net.h) in front: by it the NIC, or the kernel where the NIC cannot, completes the TCP checksum (checksum
 * offload) and segments large packets (GSO).
 */

import {
  AF_PACKET,
  address,
  errno,
  libc,
  monotonicMicroseconds,
  PACKET_VNET_HDR,
  SOL_PACKET,
} from "../native/libc.ts";
import { Messages } from "../native/messages.ts";
import { NUD_VALID, neighbour, route, useNeighbour } from "../native/netlink/netlink.ts";
import type { PacketBatch } from "../wire/batch.ts";
import { IPPROTO_TCP } from "../wire/ip.ts";
import { deliver, PATIENCE } from "./deliver.ts";
import type { Injector } from "./injector.ts";
import type { EgressConfig } from "./path.ts";
import { failure, openSocket, setOption } from "./socket.ts";

const VIRTIO_HEADER = 10;
const ETHERNET_HEADER = 14;
const FRONT = VIRTIO_HEADER + ETHERNET_HEADER;
const NEEDS_CHECKSUM = 1;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
/** Offset of the checksum in a TCP header. */
const CHECKSUM_OFFSET = 16;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** us between two confirmations of the next hop's neighbour entry; the kernel makes it stale after some 30 s. */
const CONFIRM_INTERVAL = 10e6;

/** Opens the socket; throws a Failure if it cannot. See `createInjector`. */
export function createPacketInjector(egress: EgressConfig, batch: PacketBatch, mark: number): Injector {
  const { ifindex, family } = egress;
  const fd = openPacketSocket(egress, mark);
  const base = address(batch.bytes);
  const messages = new Messages(batch.offset.length, 0);
  const words = new Uint32Array(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length >> 2);
  const gsoType = family === 4 ? GSO_TCPV4 : GSO_TCPV6;
  const destinationAt = family === 4 ? 16 : 24;
  const protocolAt = family === 4 ? 9 : 6;
  const destination = new Uint8Array(family === 4 ? 4 : 16);
  const macs = new Uint32Array(4);
  let nextHop = egress.nextHop;
  let confirmAt = 0;
  let isUsed = false;
  setMac(egress.nextHopMac);

  /** Prepares words 2 to 5 of each frame: the last two bytes of the virtio-net header, and the Ethernet header. */
  function setMac(nextHopMac: Uint8Array): void {
    const bytes = new Uint8Array(macs.buffer);
    bytes[0] = CHECKSUM_OFFSET;
    bytes.set(nextHopMac, 2);
    bytes.set(egress.sourceMac, 8);
    new DataView(macs.buffer).setUint16(14, family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  }

  /** Writes the 24 bytes in front of a row's IP header, which is at a multiple of 8 (PacketBatch.push). */
  function writeFront(row: number): void {
    const ip = batch.offset[row]!;
    const { bytes } = batch;
    const word = (ip - FRONT) >> 2;
    if (bytes[ip + protocolAt] !== IPPROTO_TCP) {
      // A datagram is complete already.
      words[word] = 0;
      words[word + 1] = 0;
      writeMacs(word);
      return;
    }
    const tcp = family === 4 ? (bytes[ip]! & 15) * 4 : 40;
    const headers = tcp + (bytes[ip + tcp + 12]! >> 4) * 4;
    const segmentSize = batch.segmentSize[row]!;
    const cut = segmentSize > 0 && batch.length[row]! - headers > segmentSize;
    words[word] = NEEDS_CHECKSUM | (cut ? (gsoType << 8) | ((ETHERNET_HEADER + headers) << 16) : 0);
    words[word + 1] = (cut ? segmentSize : 0) | ((ETHERNET_HEADER + tcp) << 16);
    writeMacs(word);
  }

  /** Writes the Ethernet header, and the two bytes in front of it (CHECKSUM_OFFSET). */
  function writeMacs(word: number): void {
    words[word + 2] = macs[0]!;
    words[word + 3] = macs[1]!;
    words[word + 4] = macs[2]!;
    words[word + 5] = macs[3]!;
  }

  /** The kernel's present next hop for the destination of the last packet; the known one if that is not on our interface. */
  function presentNextHop(): Uint8Array {
    if (!isUsed) return nextHop;
    const found = route(destination, mark, egress.isBound ? ifindex : 0);
    return found.ifindex === ifindex ? (found.gateway ?? nextHop) : nextHop;
  }

  const injector = {
    name: "packet" as const,
    packets: 0,
    bytes: 0,
    errors: 0,
    lastError: 0,
    patience: 0,
    send(from: PacketBatch): void {
      const { count, offset, length } = from;
      if (count === 0) return;
      for (let row = 0; row < count; row++) {
        writeFront(row);
        messages.setOne(row, base + offset[row]! - FRONT, length[row]! + FRONT);
      }
      const last = offset[count - 1]! + destinationAt;
      for (let i = 0; i < destination.length; i++) destination[i] = from.bytes[last + i]!;
      isUsed = true;
      injector.patience = PATIENCE;
      deliver(fd, messages, length, count, injector);
    },
    refresh(): void {
      if (egress.hasFixedMac) return;
      // After an error of netlink the MAC address stays: TCP retransmits, and the next refresh comes soon.
      try {
        const hop = presentNextHop();
        const entry = neighbour(ifindex, hop);
        const known = entry !== null && (entry.state & NUD_VALID) !== 0 && entry.mac.length === 6;
        if (known) {
          nextHop = hop;
          setMac(entry.mac);
        }
        const now = monotonicMicroseconds();
        if (known && now < confirmAt) return;
        confirmAt = now + CONFIRM_INTERVAL;
        useNeighbour(ifindex, hop);
      } catch {}
    },
    close(): void {
      libc.close(fd);
    },
  };
  return injector;
}

function openPacketSocket(egress: EgressConfig, mark: number): number {
  const purpose = `send packets on "${egress.interface}"`;
  // Protocol 0: the socket receives nothing.
  const fd = openSocket(AF_PACKET, 0, mark, purpose);
  const link = new Uint8Array(20);
  const view = new DataView(link.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setInt32(4, egress.ifindex, true);
  const code =
    libc.bind(fd, link, link.length) === 0 ? setOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1) : errno();
  if (code === 0) return fd;
  libc.close(fd);
  throw failure(purpose, code);
}
