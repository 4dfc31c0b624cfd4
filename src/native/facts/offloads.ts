/** What a network card joins and splits by itself: ethtool's ioctl (linux/ethtool.h). */
import { dlopen, FFIType } from "bun:ffi";
import { AF_INET, address, libc, pointerTo, SOCK_CLOEXEC, SOCK_DGRAM } from "../libc.ts";

const SIOCETHTOOL = 0x8946;
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;
const ETHTOOL_GTSO = 0x1e;
const ETHTOOL_GFLAGS = 0x25;
const ETHTOOL_GGRO = 0x2b;
const ETH_FLAG_LRO = 1 << 15;

export interface Offloads {
  /** Large receive offload: the card joins packets, and does not keep what tells them apart. */
  lro: boolean;
  /** Generic receive offload: the kernel joins them. */
  gro: boolean;
  /** TCP segmentation offload: the card splits what the kernel sends. */
  tso: boolean;
}

/** Those of an interface; null where it does not tell. */
export function offloadsOf(name: string): Offloads | null {
  const { ioctl } = dlopen("libc.so.6", {
    ioctl: { args: [FFIType.i32, FFIType.u64_fast, FFIType.ptr], returns: FFIType.i32 },
  }).symbols;
  const socket = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return null;
  const value = (command: number): number | null => {
    const data = new Uint32Array(new ArrayBuffer(8)); // struct ethtool_value
    data[0] = command;
    const request = new DataView(new ArrayBuffer(IFREQ_BYTES));
    new Uint8Array(request.buffer).set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
    pointerTo(request, IFNAMSIZ, new Uint8Array(data.buffer));
    return ioctl(socket, SIOCETHTOOL, address(request)) < 0 ? null : data[1]!;
  };
  try {
    const [flags, gro, tso] = [ETHTOOL_GFLAGS, ETHTOOL_GGRO, ETHTOOL_GTSO].map(value);
    if (flags == null || gro == null || tso == null) return null;
    return { lro: (flags & ETH_FLAG_LRO) !== 0, gro: gro !== 0, tso: tso !== 0 };
  } finally {
    libc.close(socket);
  }
}
