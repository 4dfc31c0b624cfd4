/** Finds the path of a response that an intercept caught, by its addresses, its source port and its protocol. */

import type { PathConfig } from "../../inject/path.ts";
import type { Packet } from "../../wire/packet.ts";
import { UDP_HEADER } from "../../wire/udp.ts";

const NONE = -1;

export class PathIndex {
  /** Paths by hash, linked by `next`. */
  private readonly heads: Int32Array;
  private readonly next: Int32Array;
  /** Of the packet that is looked up. */
  private transport: "udp" | undefined;

  constructor(private readonly paths: readonly PathConfig[]) {
    this.heads = new Int32Array(2 ** Math.ceil(Math.log2(paths.length + 1))).fill(NONE);
    this.next = new Int32Array(paths.length);
    for (const [index, { target, targetPort, local }] of paths.entries()) {
      const bucket = hash(target, 0, target.length, targetPort, local) & (this.heads.length - 1);
      this.next[index] = this.heads[bucket]!;
      this.heads[bucket] = index;
    }
  }

  /** The index of the path, or -1 if none leads to the sender of this response. */
  find(packet: Packet): number {
    this.transport = packet.payload - packet.tcp === UDP_HEADER ? "udp" : undefined;
    const path = this.search(packet, true);
    return path === NONE ? this.search(packet, false) : path;
  }

  /** `own`: among the paths with an address of their own, else among those that send from the clients' addresses. */
  private search(packet: Packet, own: boolean): number {
    const { bytes, ip } = packet;
    const length = packet.family === 4 ? 4 : 16;
    const source = length === 4 ? ip + 12 : ip + 8;
    const port = packet.sourcePort;
    let code = hash(bytes, source, length, port, null);
    if (own) code = mix(code, bytes, source + length, length);
    let path = this.heads[code & (this.heads.length - 1)]!;
    for (; path !== NONE; path = this.next[path]!) {
      const { target, targetPort, local, transport } = this.paths[path]!;
      if (transport !== this.transport) continue;
      if (targetPort !== port || (local !== null) !== own || !equals(target, bytes, source, length)) continue;
      if (local === null || equals(local, bytes, source + length, length)) return path;
    }
    return NONE;
  }
}

function mix(code: number, bytes: Uint8Array, at: number, length: number): number {
  for (let i = 0; i < length; i++) code = (Math.imul(code, 31) + bytes[at + i]!) | 0;
  return code;
}

function hash(
  target: Uint8Array,
  at: number,
  length: number,
  port: number,
  local: Uint8Array | null,
): number {
  const code = mix(port, target, at, length);
  return local ? mix(code, local, 0, length) : code;
}

function equals(address: Uint8Array, bytes: Uint8Array, at: number, length: number): boolean {
  if (address.length !== length) return false;
  for (let i = 0; i < length; i++) if (address[i] !== bytes[at + i]) return false;
  return true;
}
