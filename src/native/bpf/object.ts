/** BPF object files: opened, set up, loaded by libbpf. */
import type { Pointer } from "bun:ffi";
import { Failure } from "../failure.ts";
import { errno, pointerTo } from "../libc.ts";
import { bpfFailure } from "./errors.ts";
import { lib, memory, text } from "./libbpf.ts";
import { loadFailure, SHORT_LOG, textIn, WHOLE_LOG } from "./load-log.ts";

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
    return this.#found(lib.bpf_object__find_program_by_name(object, text(name)), "program", name);
  }

  #map(name: string, object = this.#object): Pointer {
    return this.#found(lib.bpf_object__find_map_by_name(object, text(name)), "map", name);
  }

  #found(found: Pointer | bigint | null, kind: "program" | "map", name: string): Pointer {
    if (found) return found as Pointer;
    throw new Failure(
      `Cannot find the ${kind} "${name}" in "${this.#name}"`,
      "Install xcopy again: its executable is damaged.",
      5,
    );
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
