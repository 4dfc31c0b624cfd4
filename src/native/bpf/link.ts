/** Links, by which programs are attached to an interface as long as a descriptor is open: tcx and XDP. */
import { address } from "../libc.ts";
import { bpfCall } from "./call.ts";
import { memory } from "./libbpf.ts";

const BPF_LINK_CREATE = 28;
const BPF_LINK_UPDATE = 29;
/** The attach type of XDP programs and links. */
export const BPF_XDP = 37;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const XDP_FLAGS_SKB_MODE = 1 << 1;
const XDP_FLAGS_DRV_MODE = 1 << 2;
const BPF_F_BEFORE = 1 << 3;
const BPF_F_AFTER = 1 << 4;
const BPF_F_LINK = 1 << 13;

/** Direction of packets on an interface: received (ingress) or sent (egress). */
export type Direction = "ingress" | "egress";

/**
 * BPF_LINK_CREATE itself, because libbpf 1.1 cannot set the order of tcx links. `flags` and `relative` are those of tcx or XDP
 * links. Returns the descriptor, or a negative errno.
 */
function createLink(programFd: number, ifindex: number, type: number, flags: number, relative = 0): number {
  const attributes = memory(32); // union bpf_attr, link_create
  attributes.setUint32(0, programFd, true);
  attributes.setUint32(4, ifindex, true);
  attributes.setUint32(8, type, true);
  attributes.setUint32(12, flags, true);
  attributes.setUint32(16, relative, true);
  return bpfCall(BPF_LINK_CREATE, address(attributes), 32);
}

/**
 * Attaches a program to an interface by a tcx link, which ends when its descriptor is closed: before all others, or right after
 * the link `after`. Returns the descriptor, or a negative errno: EINVAL where the kernel has no tcx (before 6.6), ENODEV where
 * there is no such interface.
 */
export function createTcxLink(
  programFd: number,
  ifindex: number,
  direction: Direction,
  after?: number,
): number {
  const type = direction === "egress" ? BPF_TCX_EGRESS : BPF_TCX_INGRESS;
  const flags = after === undefined ? BPF_F_BEFORE : BPF_F_AFTER | BPF_F_LINK;
  return createLink(programFd, ifindex, type, flags, after);
}

/**
 * Attaches an XDP program to an interface by a link (Linux 5.9), which ends when its descriptor is closed: in the driver
 * (`native`) or in the network stack (`generic`). Returns the descriptor, or a negative errno: EBUSY where another one is
 * attached, EOPNOTSUPP (and others) where the driver cannot.
 */
export function createXdpLink(programFd: number, ifindex: number, mode: "native" | "generic"): number {
  return createLink(programFd, ifindex, BPF_XDP, mode === "native" ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
}

/** Another program runs at a link from now on; no packet passes without one of the two. Returns 0 or a negative errno. */
export function updateLink(link: number, programFd: number): number {
  const attributes = memory(16);
  attributes.setUint32(0, link, true);
  attributes.setUint32(4, programFd, true);
  return bpfCall(BPF_LINK_UPDATE, address(attributes), 16);
}
