/**
 * Sends IP packets: on an interface without MAC headers (tunnels) through a packet socket, which the kernel's routing, netfilter
 * and policies do not see; on loopback through a raw socket, as the kernel takes no packets from this host's own addresses off
 * any other way. This file computes the TCP checksum and segments large packets, because these sockets do neither.
 */

import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  address,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_RAW,
  libc,
  SOCK_DGRAM,
} from "../native/libc.ts";
import { Messages } from "../native/messages.ts";
import type { PacketBatch } from "../wire/batch.ts";
import { finishTcpChecksum, wordsOf } from "../wire/checksum.ts";
import { IPPROTO_TCP } from "../wire/ip.ts";
import { deliver, PATIENCE } from "./deliver.ts";
import type { Injector } from "./injector.ts";
import type { EgressConfig } from "./path.ts";
import { writeSegmentHeaders } from "./segment.ts";
import { bindToInterface, failure, openSocket, setOption } from "./socket.ts";

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const IP_HDRINCL = 3;
const IPV6_HDRINCL = 36;
const IP_RECVERR = 11;
const IPV6_RECVERR = 25;
/** Bytes of struct sockaddr_in and sockaddr_in6, and where the address is in them. */
const NAME = { 4: { length: 16, address: 4 }, 6: { length: 28, address: 8 } };
/** The largest IP (40 or 60) and TCP (60) headers, rounded up. */
const HEADERS = 128;

/** Opens the socket; throws a Failure if it cannot. See `createInjector`. */
export function createIpInjector(egress: EgressConfig, batch: PacketBatch, mark: number): Injector {
  const { family, mtu } = egress;
  const kind = egress.kind === "cooked" ? "cooked" : "raw";
  const isRaw = kind === "raw";
  const fd = isRaw ? openRawSocket(egress, mark) : openCookedSocket(egress, mark);
  const capacity = batch.offset.length;
  const base = address(batch.bytes);
  const words = wordsOf(batch.bytes);
  const headers = wordsOf(new Uint8Array(new ArrayBuffer(capacity * HEADERS)));
  const headersAt = address(headers.bytes);
  const lengths = new Uint32Array(new ArrayBuffer(capacity * 4));
  const name = NAME[family];
  const firstName = isRaw ? rawName(family) : linkName(egress);
  const messages = new Messages(capacity, firstName.length);
  const { names } = messages;
  for (let message = 0; message < capacity; message++) names.set(firstName, message * firstName.length);
  const destinationAt = family === 4 ? 16 : 24;
  const protocolAt = family === 4 ? 9 : 6;
  const addressLength = family === 4 ? 4 : 16;
  let filled = 0;

  function flush(): void {
    deliver(fd, messages, lengths, filled, injector);
    filled = 0;
  }

  /** Reserves the next free message for `length` bytes to the destination of the packet at `ip`; returns its index. */
  function take(ip: number, length: number): number {
    if (filled === capacity) flush();
    const message = filled++;
    if (isRaw) {
      const to = message * name.length + name.address;
      for (let i = 0; i < addressLength; i++) names[to + i] = batch.bytes[ip + destinationAt + i]!;
    }
    lengths[message] = length;
    return message;
  }

  function add(ip: number, length: number, tcp: number): void {
    // A datagram is complete already.
    if (batch.bytes[ip + protocolAt] === IPPROTO_TCP) finishTcpChecksum(words, ip + tcp, length - tcp);
    messages.setOne(take(ip, length), base + ip, length);
  }

  function addCut(ip: number, length: number, headerLength: number, segmentSize: number): void {
    const total = length - headerLength;
    for (let start = 0, index = 0; start < total; start += segmentSize, index++) {
      const payload = Math.min(segmentSize, total - start);
      const message = take(ip, headerLength + payload);
      const at = message * HEADERS;
      writeSegmentHeaders(words, ip, length, start, payload, index, headers, at);
      messages.setTwo(message, headersAt + at, headerLength, base + ip + headerLength + start, payload);
    }
  }

  const injector = {
    name: kind as Injector["name"],
    packets: 0,
    bytes: 0,
    errors: 0,
    lastError: 0,
    patience: 0,
    send(from: PacketBatch): void {
      injector.patience = PATIENCE;
      for (let row = 0; row < from.count; row++) {
        const ip = from.offset[row]!;
        const length = from.length[row]!;
        const segmentSize = from.segmentSize[row]!;
        const tcp = family === 4 ? (from.bytes[ip]! & 15) * 4 : 40;
        if (segmentSize === 0 || length <= mtu) add(ip, length, tcp);
        else addCut(ip, length, tcp + (from.bytes[ip + tcp + 12]! >> 4) * 4, segmentSize);
      }
      if (filled > 0) flush();
    },
    // There is no next hop to look up.
    refresh(): void {},
    close(): void {
      libc.close(fd);
    },
  };
  return injector;
}

/** struct sockaddr_in or sockaddr_in6 without the address. */
function rawName(family: 4 | 6): Uint8Array {
  const bytes = new Uint8Array(NAME[family].length);
  bytes[0] = family === 4 ? AF_INET : AF_INET6;
  return bytes;
}

/** struct sockaddr_ll: the interface, and what kind of packets. */
function linkName({ ifindex, family }: EgressConfig): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
  view.setInt32(4, ifindex, true);
  return bytes;
}

/** Cooked (packet(7)): the kernel puts the header of the link layer in front, if there is one. Protocol 0: it receives nothing. */
function openCookedSocket(egress: EgressConfig, mark: number): number {
  const purpose = `send packets on "${egress.interface}"`;
  return openSocket(AF_PACKET, 0, mark, purpose, SOCK_DGRAM);
}

function openRawSocket({ family, interface: name, isBound }: EgressConfig, mark: number): number {
  const purpose = `send IPv${family} packets`;
  const fd = openSocket(family === 4 ? AF_INET : AF_INET6, IPPROTO_RAW, mark, purpose);
  const level = family === 4 ? IPPROTO_IP : IPPROTO_IPV6;
  const code =
    setOption(fd, level, family === 4 ? IP_HDRINCL : IPV6_HDRINCL, 1) ||
    // Without it the kernel does not report that a full device queue dropped a packet (ip(7)).
    setOption(fd, level, family === 4 ? IP_RECVERR : IPV6_RECVERR, 1) ||
    (isBound ? bindToInterface(fd, name) : 0);
  if (code === 0) return fd;
  libc.close(fd);
  throw failure(purpose, code);
}
