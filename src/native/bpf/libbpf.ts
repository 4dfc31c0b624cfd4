/**
 * The functions of libbpf that xcopy calls: from the copy that the executable carries, else from the host's `libbpf.so.1`.
 *
 * libbpf prints nothing; the reason of the verifier for refusing a program is in the error. Functions that return a number
 * return a negative errno on failure.
 */
import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { type CarriedLibrary, openLibrary } from "../carried.ts";
import { Failure } from "../failure.ts";
import { address, errno, pointerTo } from "../libc.ts";
import { bpfCall } from "./call.ts";
import { bpfFailure, mapFailure, refusal, ringFailure } from "./errors.ts";
import { reasonIn, writeLog } from "./verifier.ts";

export { bpfFailure };

const SYMBOLS = {
  libbpf_set_print: { args: [FFIType.ptr], returns: FFIType.ptr },
  bpf_object__open_mem: { args: [FFIType.ptr, FFIType.u64_fast, FFIType.ptr], returns: FFIType.ptr },
  bpf_object__load: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_object__close: { args: [FFIType.ptr], returns: FFIType.void },
  bpf_object__find_map_by_name: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.ptr },
  bpf_object__find_program_by_name: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.ptr },
  bpf_object__next_program: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.ptr },
  bpf_program__set_log_level: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  bpf_program__set_log_buf: { args: [FFIType.ptr, FFIType.ptr, FFIType.u64_fast], returns: FFIType.i32 },
  bpf_program__set_autoload: { args: [FFIType.ptr, FFIType.bool], returns: FFIType.i32 },
  bpf_program__fd: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_map__fd: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_map__set_max_entries: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  bpf_map__reuse_fd: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  bpf_map__set_inner_map_fd: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  bpf_map__set_initial_value: { args: [FFIType.ptr, FFIType.ptr, FFIType.u64_fast], returns: FFIType.i32 },
  bpf_map_create: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u32, FFIType.u32, FFIType.u32, FFIType.ptr],
    returns: FFIType.i32,
  },
  bpf_prog_load: {
    args: [FFIType.i32, FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.u64_fast, FFIType.ptr],
    returns: FFIType.i32,
  },
  bpf_map_update_elem: {
    args: [FFIType.i32, FFIType.ptr, FFIType.ptr, FFIType.u64_fast],
    returns: FFIType.i32,
  },
  bpf_map_update_batch: {
    args: [FFIType.i32, FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  bpf_tc_hook_create: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_hook_destroy: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_attach: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_detach: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_query: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  bpf_prog_test_run_opts: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
} as const;

function open(path: string) {
  return dlopen(path, SYMBOLS).symbols;
}

const BPF_LINK_CREATE = 28;
const BPF_LINK_UPDATE = 29;
const BPF_TC_F_REPLACE = 1;
const BPF_XDP = 37;
const BPF_F_XDP_HAS_FRAGS = 32;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const XDP_FLAGS_SKB_MODE = 1 << 1;
const XDP_FLAGS_DRV_MODE = 1 << 2;
const BPF_F_BEFORE = 1 << 3;
const BPF_F_AFTER = 1 << 4;
const BPF_F_LINK = 1 << 13;
const BPF_MAP_TYPE_PROG_ARRAY = 3;
const BPF_MAP_TYPE_RINGBUF = 27;
const BPF_PROG_TYPE_SCHED_CLS = 3;
const BPF_PROG_TYPE_XDP = 6;
const BPF_TC_INGRESS = 1;
const BPF_TC_EGRESS = 2;
/**
 * Logs of the verifier: its reason and sums alone, and everything. The first is so short that it always fits: before Linux 6.4 a
 * log that does not fit loses its end, and the errno of the load with it.
 */
const SHORT_LOG = { level: 4, bytes: 1 << 18 } as const;
const WHOLE_LOG = { level: 1, bytes: (1 << 24) - 1 } as const;

let lib: ReturnType<typeof open>;

/**
 * Opens libbpf, as `openLibrary` does; must be called before everything else here, and does nothing when called again.
 * `carried`: each library after those that it needs, libbpf last. Throws a Failure (5) if there is none.
 */
export function openLibbpf(carried: CarriedLibrary[] = []): void {
  if (lib) return;
  lib = openLibrary("libbpf.so.1", carried, "Install libbpf 1.0 or newer (Debian: libbpf1)", open);
  lib.libbpf_set_print(null);
}

function text(string: string): Uint8Array {
  return new Uint8Array(new TextEncoder().encode(string + "\0").buffer);
}

function memory(bytes: number): DataView {
  return new DataView(new ArrayBuffer(bytes));
}

function textIn(log: Uint8Array): string {
  const end = log.indexOf(0);
  return new TextDecoder().decode(end < 0 ? log : log.subarray(0, end));
}

/**
 * The error for a load that failed with errno `code`. `short` is the short log, `whole` makes the whole one, which
 * is written to a file; null: nobody wants it.
 */
function loadFailure(
  kind: "object" | "program",
  name: string,
  code: number,
  short: string,
  whole: (() => string) | null,
): Failure {
  const what = `load the BPF ${kind} "${name}"`;
  const reason = reasonIn(short);
  if (reason === null) return mapFailure(what, code);
  return refusal(what, code, reason, () => {
    if (whole === null) return null;
    const log = whole();
    // A log that was cut has lost its end.
    return writeLog(name, log.includes(reason) ? log : `${log}\n[...]\n${short}`);
  });
}

function openObject(name: string, bytes: Uint8Array): Pointer {
  const options = memory(80); // struct bpf_object_open_opts
  options.setBigUint64(0, 80n, true);
  pointerTo(options, 8, text(name));
  const object = lib.bpf_object__open_mem(bytes, bytes.length, new Uint8Array(options.buffer));
  const code = errno();
  if (!object) throw bpfFailure(`open the BPF object "${name}"`, code);
  return object as Pointer;
}

/** Loads an object, with the verifier's log of the program that was loaded last. */
function loadObject(object: Pointer, { level, bytes }: { level: number; bytes: number }) {
  const log = new Uint8Array(new ArrayBuffer(bytes));
  let program = lib.bpf_object__next_program(object, null);
  for (; program; program = lib.bpf_object__next_program(object, program)) {
    lib.bpf_program__set_log_level(program, level);
    lib.bpf_program__set_log_buf(program, log, bytes);
  }
  return { result: lib.bpf_object__load(object), log: textIn(log) };
}

/** An opened BPF object file: set up its maps, then `load`, then take descriptors of its maps and programs. */
export class BpfObject {
  readonly #name: string;
  readonly #object: Pointer;
  readonly #bytes: Uint8Array;
  /** What was set up, to do it again with another object of the same file. */
  readonly #steps: ((object: Pointer) => void)[] = [];

  /** `bytes` are those of the .o file; `name` is for messages. Throws a Failure (5). */
  constructor(name: string, bytes: Uint8Array) {
    this.#name = name;
    this.#bytes = new Uint8Array(new ArrayBuffer(bytes.length));
    this.#bytes.set(bytes);
    this.#object = openObject(name, this.#bytes);
  }

  setMaxEntries(map: string, entries: number): void {
    this.#setUp(`size the map "${map}"`, (object) =>
      lib.bpf_map__set_max_entries(this.#map(map, object), entries),
    );
  }

  /** Uses an existing map instead of creating one. */
  reuse(map: string, fd: number): void {
    this.#setUp(`share the map "${map}"`, (object) => lib.bpf_map__reuse_fd(this.#map(map, object), fd));
  }

  /** Sets the type of the maps in a map of maps, by an example; `fd` must stay open until `load` has returned. */
  setInnerMap(map: string, fd: number): void {
    this.#setUp(`set the inner map of "${map}"`, (object) =>
      lib.bpf_map__set_inner_map_fd(this.#map(map, object), fd),
    );
  }

  /** Sets all constants in a section of the object; `value` must have the size of the section. */
  setConstants(value: Uint8Array, section = ".rodata"): void {
    this.#setUp("set the constants", (object) =>
      lib.bpf_map__set_initial_value(this.#map(section, object), value, value.length),
    );
  }

  /**
   * Throws a Failure: 4 without privilege, 5 where the kernel refuses a map or a program. With `keepsLog` all that the verifier
   * says about a program that it refuses is then in a file, which the message names.
   */
  load(keepsLog = true): void {
    const { result, log } = loadObject(this.#object, SHORT_LOG);
    if (result >= 0) return;
    throw loadFailure("object", this.#name, -result, log, keepsLog ? () => this.#wholeLog() : null);
  }

  mapFd(map: string): number {
    return lib.bpf_map__fd(this.#map(map));
  }

  /** Leaves a program out of `load`, where the kernel may refuse it or it is not needed. */
  leaveOut(program: string): void {
    this.#setUp(`leave out "${program}"`, (object) =>
      lib.bpf_program__set_autoload(this.#program(program, object), false),
    );
  }

  programFd(program: string): number {
    return lib.bpf_program__fd(this.#program(program));
  }

  /** Closes all descriptors of the object; programs that are attached stay loaded. */
  close(): void {
    lib.bpf_object__close(this.#object);
  }

  #program(name: string, object = this.#object): Pointer {
    const found = lib.bpf_object__find_program_by_name(object, text(name));
    if (!found)
      throw new Failure(`Cannot find the program "${name}" in "${this.#name}"`, "Build xcopy again", 5);
    return found as Pointer;
  }

  #map(name: string, object = this.#object): Pointer {
    const found = lib.bpf_object__find_map_by_name(object, text(name));
    if (!found) throw new Failure(`Cannot find the map "${name}" in "${this.#name}"`, "Build xcopy again", 5);
    return found as Pointer;
  }

  #setUp(what: string, step: (object: Pointer) => number): void {
    const result = step(this.#object);
    if (result < 0) throw bpfFailure(`${what} of the BPF object "${this.#name}"`, -result);
    this.#steps.push(step);
  }

  /** Loads it once more, as an object is loaded only once, for the whole log. */
  #wholeLog(): string {
    const object = openObject(this.#name, this.#bytes);
    try {
      for (const step of this.#steps) step(object);
      return loadObject(object, WHOLE_LOG).log;
    } finally {
      lib.bpf_object__close(object);
    }
  }
}

/**
 * Loads an object in the first variant that this kernel takes: an old one lacks helpers, and its version does not say which.
 * `open` returns the object of a variant, ready to load. Throws the Failure about the last variant, or one about privileges
 * (4) at once.
 */
export function loadFirst<T>(
  variants: readonly T[],
  open: (variant: T) => BpfObject,
): { object: BpfObject; variant: T } {
  for (const [index, variant] of variants.entries()) {
    const object = open(variant);
    const isLast = index === variants.length - 1;
    try {
      object.load(isLast);
      return { object, variant };
    } catch (error) {
      object.close();
      const isRefused = error instanceof Failure && error.exitCode === 5;
      if (!isRefused || isLast) throw error;
    }
  }
  throw new Error("no variants");
}

/**
 * Loads a program given as eBPF instructions (struct bpf_insn, 8 bytes each) and returns its descriptor. For XDP, `attachType`
 * "xdp" is that of SEC("xdp") in libbpf, and `frags` makes a program for packets in several buffers (Linux 5.18), as
 * SEC("xdp.frags"). Throws a Failure: 4 without privilege, 5 where the verifier refuses it.
 */
export function loadProgram(
  kind: "tc" | "xdp",
  name: string,
  instructions: Uint8Array,
  attachType: "xdp" | "none" = "none",
  frags = false,
): number {
  const load = ({ level, bytes }: { level: number; bytes: number }) => {
    const log = new Uint8Array(new ArrayBuffer(bytes));
    const options = memory(104); // struct bpf_prog_load_opts
    options.setBigUint64(0, 104n, true);
    options.setInt32(12, attachType === "xdp" ? BPF_XDP : 0, true);
    options.setUint32(20, frags ? BPF_F_XDP_HAS_FRAGS : 0, true);
    options.setUint32(88, level, true);
    options.setUint32(92, bytes, true);
    pointerTo(options, 96, log);
    const result = lib.bpf_prog_load(
      kind === "tc" ? BPF_PROG_TYPE_SCHED_CLS : BPF_PROG_TYPE_XDP,
      text(name),
      text("Dual BSD/GPL"),
      instructions,
      instructions.length / 8,
      new Uint8Array(options.buffer),
    );
    return { result, log: textIn(log) };
  };
  const { result, log } = load(SHORT_LOG);
  if (result >= 0) return result;
  throw loadFailure("program", name, -result, log, () => load(WHOLE_LOG).log);
}

/**
 * Creates a program array with one element, for a tail call, and returns its descriptor. The kernel empties the array when its
 * last descriptor is closed, even while a program uses it. Throws a Failure.
 */
export function createProgramArray(): number {
  const fd = lib.bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, text("xcopy_programs"), 4, 4, 1, null);
  if (fd < 0) throw mapFailure("create a BPF program array", -fd);
  return fd;
}

/** Puts a program into the array. Returns 0, or a negative errno: -EINVAL if its type is not that of the calling program. */
export function setProgram(array: number, programFd: number): number {
  return lib.bpf_map_update_elem(array, Uint32Array.of(0), Uint32Array.of(programFd), 0);
}

/** Creates a BPF ring buffer of `bytes` (a power of two and a multiple of the page size); its descriptor. Throws a Failure. */
export function createRing(bytes: number): number {
  const fd = lib.bpf_map_create(BPF_MAP_TYPE_RINGBUF, text("xcopy_ring"), 0, 0, bytes, null);
  if (fd < 0) {
    const isGoodSize = bytes >= 65536 && Number.isInteger(Math.log2(bytes));
    throw ringFailure(`create a BPF ring buffer of ${bytes} bytes`, -fd, isGoodSize);
  }
  return fd;
}

/** Sets the value of a key in a map. Throws a Failure. */
export function updateMap(fd: number, key: Uint8Array, value: Uint8Array): void {
  const result = lib.bpf_map_update_elem(fd, key, value, 0);
  if (result < 0) throw bpfFailure("update a BPF map", -result);
}

/**
 * Puts maps into an array of maps, from index 0 on. In one system call, because at its end the kernel waits some 10 ms for
 * running programs; on kernels without this call, one call per map. Throws a Failure.
 */
export function fillArrayOfMaps(fd: number, maps: number[]): void {
  const keys = Uint32Array.from(maps, (_, index) => index);
  const values = Uint32Array.from(maps);
  const result = lib.bpf_map_update_batch(fd, keys, values, Uint32Array.of(maps.length), null);
  if (result >= 0) return;
  for (const [index] of maps.entries()) {
    updateMap(
      fd,
      new Uint8Array(keys.slice(index, index + 1).buffer),
      new Uint8Array(values.slice(index, index + 1).buffer),
    );
  }
}

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

/** The fields of struct __sk_buff that a test run may set. */
export interface TestContext {
  mark?: number;
  ifindex?: number;
  /** Bytes of payload of each segment of a GSO packet. */
  gsoSize?: number;
}

export interface TestRun {
  /** What the program returned, signed: -1 passes, 2 drops. */
  verdict: number;
  /** ns per run, averaged over `repeat` runs. */
  nanoseconds: number;
}

/**
 * Runs a tc program, or with `context` null an XDP program, `repeat` times on an Ethernet frame in the kernel. For tests.
 * Throws a Failure.
 */
export function testRun(
  programFd: number,
  frame: Uint8Array,
  context: TestContext | null = {},
  repeat = 1,
): TestRun {
  const skb = memory(192); // struct __sk_buff
  skb.setUint32(8, context?.mark ?? 0, true);
  skb.setUint32(40, context?.ifindex ?? 0, true);
  skb.setUint32(176, context?.gsoSize ?? 0, true);
  const skbBytes = new Uint8Array(skb.buffer);
  const input = new Uint8Array(new ArrayBuffer(frame.length));
  input.set(frame);
  const options = memory(80); // struct bpf_test_run_opts
  options.setBigUint64(0, 80n, true);
  pointerTo(options, 8, input);
  options.setUint32(24, input.length, true);
  if (context !== null) {
    pointerTo(options, 32, skbBytes);
    options.setUint32(48, skbBytes.length, true);
  }
  options.setInt32(60, repeat, true);
  const result = lib.bpf_prog_test_run_opts(programFd, new Uint8Array(options.buffer));
  if (result < 0) throw bpfFailure("run a BPF program for a test", -result);
  return { verdict: options.getInt32(56, true), nanoseconds: options.getUint32(64, true) };
}
