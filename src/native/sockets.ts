/** The sockets of a network namespace, as /proc/net/tcp, tcp6, udp and udp6 list them. */
import { readFileSync } from "node:fs";

/** Sockets of `tcp6` and `udp6` may receive IPv4 as well: with a wildcard address, or with IPv4-mapped addresses. */
export type SocketTable = "tcp" | "tcp6" | "udp" | "udp6";

/** States (include/net/tcp_states.h); a UDP socket without a peer is in CLOSE. */
export const ESTABLISHED = 1;
export const CLOSE = 7;
export const LISTEN = 10;

export interface OpenSocket {
  /** 4 or 16 bytes in network order. */
  address: Uint8Array;
  port: number;
  state: number;
}

/** All sockets of a table in the network namespace of a process; none if the kernel has no such table, or no such process. */
export function openSockets(table: SocketTable, pid: number | "self" = "self"): OpenSocket[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/net/${table}`, "utf8");
  } catch {
    return [];
  }
  return parseSockets(text);
}

/** Parses a table: a heading, then a line for each socket with number, local address, remote address, state, ... */
export function parseSockets(text: string): OpenSocket[] {
  return text
    .split("\n")
    .slice(1)
    .flatMap((line): OpenSocket[] => {
      const [, local, , state] = line.trim().split(/\s+/);
      if (local === undefined || state === undefined) return [];
      const [address, port] = local.split(":");
      return [
        {
          address: parseWords(address!),
          port: Number.parseInt(port!, 16),
          state: Number.parseInt(state, 16),
        },
      ];
    });
}

/** Parses an address: 32-bit words in network order, printed by a little-endian host, so that the bytes of each are reversed. */
function parseWords(hex: string): Uint8Array {
  const bytes = Uint8Array.fromHex(hex);
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  return bytes;
}
