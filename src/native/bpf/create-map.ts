/** Maps that no object file has, and what libbpf writes into maps. */
import { bpfFailure, mapFailure, ringFailure } from "./errors.ts";
import { lib, text } from "./libbpf.ts";

const BPF_MAP_TYPE_PROG_ARRAY = 3;
const BPF_MAP_TYPE_RINGBUF = 27;

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
