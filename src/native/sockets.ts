/** The sockets of a network namespace, as /proc/net/tcp and its like list them. */
import { readFileSync } from "node:fs";

/** Where `tcp6` and `udp6` are, IPv4 may be taken as well: by a wildcard, or in mapped addresses. */
export type SocketTable = "tcp" | "tcp6" | "udp" | "udp6";

/** Kernel's names of states (include/net/tcp_states.h); a UDP socket without a peer is CLOSE. */
export const ESTABLISHED = 1;
export const CLOSE = 7;
export const LISTEN = 10;

export interface OpenSocket {
  /** 4 or 16 bytes in network order. */
  address: Uint8Array;
  port: number;
  state: number;
}

/** All sockets of a table in the network namespace of a process; none where the kernel has no such table, or no such process. */
export function openSockets(table: SocketTable, pid: number | "self" = "self"): OpenSocket[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/net/${table}`, "utf8");
  } catch {
    return [];
  }
  return parseSockets(text);
}

/** Reads a table: a heading, then a line for each socket: number, local address, remote address, state, ... */
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

/** Words of 32 bits as the host, which is little-endian, reads them from memory in network order. */
function parseWords(hex: string): Uint8Array {
  const bytes = Uint8Array.fromHex(hex);
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  return bytes;
}
