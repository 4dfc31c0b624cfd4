/** BPF filters of tc on the clsact qdisc, where there is no tcx: they stay until they are removed. */
import { lib, memory } from "./libbpf.ts";
import type { Direction } from "./link.ts";

const BPF_TC_F_REPLACE = 1;
const BPF_TC_INGRESS = 1;
const BPF_TC_EGRESS = 2;

/** The place of a tc filter on an interface. */
export interface FilterPlace {
  ifindex: number;
  /** Ingress if absent. */
  direction?: Direction;
  handle: number;
  priority: number;
}

function hook(ifindex: number, point: number): Uint8Array {
  const hook = memory(24); // struct bpf_tc_hook
  hook.setBigUint64(0, 24n, true);
  hook.setInt32(8, ifindex, true);
  hook.setInt32(12, point, true);
  return new Uint8Array(hook.buffer);
}

function hookOf({ ifindex, direction }: FilterPlace): Uint8Array {
  return hook(ifindex, direction === "egress" ? BPF_TC_EGRESS : BPF_TC_INGRESS);
}

function filterOptions(place: FilterPlace, programFd: number): DataView {
  const options = memory(32); // struct bpf_tc_opts
  options.setBigUint64(0, 32n, true);
  options.setInt32(8, programFd, true);
  options.setUint32(20, place.handle, true);
  options.setUint32(24, place.priority, true);
  return options;
}

/** Creates the clsact qdisc of an interface. Returns 0 or a negative errno: -EEXIST if it (or an `ingress` qdisc) exists. */
export function createClsact(ifindex: number): number {
  return lib.bpf_tc_hook_create(hook(ifindex, BPF_TC_INGRESS));
}

/** Removes the clsact qdisc with every filter on it. Returns 0 or a negative errno. */
export function destroyClsact(ifindex: number): number {
  return lib.bpf_tc_hook_destroy(hook(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS));
}

/** Adds a BPF filter in direct-action mode. Returns 0 or a negative errno: -EEXIST or -EINVAL where the place is in use. */
export function attachFilter(place: FilterPlace, programFd: number): number {
  return lib.bpf_tc_attach(hookOf(place), new Uint8Array(filterOptions(place, programFd).buffer));
}

/** Puts another program into a place that has one, in one step. Returns 0 or a negative errno. */
export function replaceFilter(place: FilterPlace, programFd: number): number {
  const options = filterOptions(place, programFd);
  options.setUint32(12, BPF_TC_F_REPLACE, true);
  return lib.bpf_tc_attach(hookOf(place), new Uint8Array(options.buffer));
}

/** Removes a BPF filter. Returns 0 or a negative errno: -ENOENT or -EINVAL where there is none. */
export function detachFilter(place: FilterPlace): number {
  return lib.bpf_tc_detach(hookOf(place), new Uint8Array(filterOptions(place, 0).buffer));
}

/** Id of the program of a BPF filter, or a negative errno. */
export function queryFilter(place: FilterPlace): number {
  const options = filterOptions(place, 0);
  const result = lib.bpf_tc_query(hookOf(place), new Uint8Array(options.buffer));
  return result < 0 ? result : options.getUint32(16, true);
}
