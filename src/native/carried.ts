/** Loads shared libraries that the executable carries, so that it does not depend on those of the host. */
import { dlopen } from "bun:ffi";
import { Failure } from "./failure.ts";
import { address, errno, libc, strerror } from "./libc.ts";

const MFD_CLOEXEC = 1;

/** A shared library inside the executable. */
export interface CarriedLibrary {
  name: string;
  /** Any function in it: Bun opens a library only with one. */
  symbol: string;
  bytes: Uint8Array;
}

/**
 * Opens a library: the carried one, so that every host has the one that was tested; where that cannot be loaded, or `carried` is
 * empty, that of the host. A thread needs no `carried` when the main thread has loaded it: it is found by its name.
 *
 * Throws a Failure: 5, with `fix` in it, where there is none; 1 where there is no memory.
 */
export function openLibrary<T>(
  name: string,
  carried: CarriedLibrary[],
  fix: string,
  open: (path: string) => T,
): T {
  const causes: string[] = [];
  if (carried.length > 0) {
    try {
      return openCarried(carried, open);
    } catch (error) {
      if (error instanceof Failure) throw error;
      causes.push(`the one that xcopy carries: ${reasonOf(error)}`);
    }
  }
  try {
    return open(name);
  } catch (error) {
    const cause = reasonOf(error);
    causes.push(carried.length > 0 ? `the host's: ${cause}` : cause);
  }
  throw new Failure(`Cannot load "${name}": ${causes.join("; ")}`, fix, 5);
}

/** What dlopen says, without the path before it, which is one that Bun has tried last. */
export function reasonOf(error: unknown): string {
  return (error as Error).message.replace(/^Failed to open library "[^"]*": (\S+: )?/, "");
}

/**
 * Loads libraries, each after those that it needs, and calls `open` with the path of the last. A library that is already loaded
 * is used by all later ones that need its soname, in every thread, whichever path it was loaded from. Throws what dlopen says,
 * or a Failure (1) where there is no memory.
 */
function openCarried<T>(carried: CarriedLibrary[], open: (path: string) => T): T {
  const files: number[] = [];
  try {
    for (const { name, bytes } of carried) files.push(fileInMemory(name, bytes));
    const paths = files.map((fd) => `/proc/self/fd/${fd}`);
    for (const [index, { symbol }] of carried.entries()) dlopen(paths[index]!, { [symbol]: {} });
    return open(paths.at(-1)!);
  } finally {
    for (const fd of files) libc.close(fd);
  }
}

function fileInMemory(name: string, bytes: Uint8Array): number {
  const zeroTerminated = new Uint8Array(new TextEncoder().encode(`${name}\0`).buffer);
  const fd = libc.memfd_create(address(zeroTerminated), MFD_CLOEXEC);
  const code = errno();
  if (fd < 0) throw new Error(`memfd_create: ${strerror(code)}`);
  for (let done = 0; done < bytes.length; ) {
    const rest = bytes.subarray(done);
    const written = Number(libc.write(fd, rest, rest.length));
    if (written <= 0)
      throw new Failure(`Cannot unpack "${name}": ${strerror(errno())}`, "Free some memory.", 1);
    done += written;
  }
  return fd;
}
