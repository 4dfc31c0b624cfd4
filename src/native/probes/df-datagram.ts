/** One UDP datagram that routers may not cut (DF), and what comes back for it: ip(7), udp(7), ipv6(7). */
import {
  AF_INET,
  AF_INET6,
  address,
  EACCES,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  errno,
  IPPROTO_IP,
  libc,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
} from "../libc.ts";

const IPPROTO_IPV6 = 41;
const MTU_DISCOVER = { 4: 10, 6: 23 } as const;
const MTU = { 4: 14, 6: 24 } as const;
/** IP_PMTUDISC_PROBE: DF is set, and what is known of the path does not keep larger packets back. */
const PROBE = 3;
const ECONNREFUSED = 111;
const MSG_NOSIGNAL = 0x4000;
/** ms between two looks for an answer. */
const INTERVAL = 5;
/** Bytes of the IP and UDP headers. */
const HEADERS = { 4: 28, 6: 48 } as const;

/** What of ICMP errors, other than a closed port and a size, is told to a UDP socket. */
const PROHIBITED = [EACCES, EHOSTUNREACH, ENETUNREACH];

export interface Answered {
  /**
   * `arrived`: the host said that nobody listens at the port. `too-large`: a router or this host refused it. `prohibited`: a
   * firewall rejected it, by an ICMP error (net/ipv4/icmp.c, icmp_err_convert; net/ipv6/icmp.c, tab_unreach).
   */
  result: "arrived" | "too-large" | "prohibited" | "silent";
  /** Bytes of the largest packet that the path takes, as far as the kernel knows then; 0: it does not. */
  mtu: number;
}

/**
 * Sends an IP packet of `bytes` bytes (0: an empty datagram) to a UDP port, and waits `patience` ms for an ICMP error.
 * `scope`: index of the interface, for link-local addresses.
 */
export async function sendUncut(
  target: Uint8Array,
  port: number,
  bytes: number,
  patience: number,
  scope = 0,
): Promise<Answered> {
  const family = target.length === 4 ? 4 : 6;
  const level = family === 4 ? IPPROTO_IP : IPPROTO_IPV6;
  const type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const socket = Number(libc.socket(family === 4 ? AF_INET : AF_INET6, type, 0));
  if (socket < 0) return { result: "silent", mtu: 0 };
  try {
    setWord(socket, level, MTU_DISCOVER[family], PROBE);
    const name = nameOf(target, port, scope);
    if (Number(libc.connect(socket, address(name), name.length)) !== 0) return { result: "silent", mtu: 0 };
    const length = Math.max(0, bytes - HEADERS[family]);
    // Memory of no bytes has no address.
    const payload = new Uint8Array(new ArrayBuffer(length + 1));
    const sent = Number(libc.sendto(socket, address(payload), length, MSG_NOSIGNAL, null, 0));
    const code = sent < 0 ? errno() : await errorOf(socket, patience);
    return {
      result: sent < 0 && code !== EMSGSIZE ? "silent" : resultOf(code),
      mtu: getWord(socket, level, MTU[family]),
    };
  } finally {
    libc.close(socket);
  }
}

function resultOf(code: number): Answered["result"] {
  if (code === ECONNREFUSED) return "arrived";
  if (code === EMSGSIZE) return "too-large";
  return PROHIBITED.includes(code) ? "prohibited" : "silent";
}

/** The error that came for what was sent; 0: none, or an answer of somebody who listens. */
async function errorOf(socket: number, patience: number): Promise<number> {
  const SO_ERROR = 4;
  const SOL_SOCKET = 1;
  const end = performance.now() + patience;
  for (;;) {
    // The last look comes after the end: the event loop may have been delayed until then.
    const isLast = performance.now() >= end;
    const code = getWord(socket, SOL_SOCKET, SO_ERROR);
    if (code !== 0 || isLast) return code;
    await Bun.sleep(INTERVAL);
  }
}

function setWord(socket: number, level: number, option: number, value: number): void {
  const word = new Int32Array(new ArrayBuffer(4)).fill(value);
  libc.setsockopt(socket, level, option, address(word), 4);
}

function getWord(socket: number, level: number, option: number): number {
  const word = new Int32Array(new ArrayBuffer(4));
  const length = new Uint32Array(new ArrayBuffer(4)).fill(4);
  return libc.getsockopt(socket, level, option, address(word), address(length)) === 0 ? word[0]! : 0;
}

/** struct sockaddr_in, sockaddr_in6. */
function nameOf(target: Uint8Array, port: number, scope: number): Uint8Array {
  const name = new Uint8Array(new ArrayBuffer(target.length === 4 ? 16 : 28));
  const view = new DataView(name.buffer);
  view.setUint16(0, target.length === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  name.set(target, target.length === 4 ? 4 : 8);
  if (target.length === 16) view.setUint32(24, scope, true);
  return name;
}
