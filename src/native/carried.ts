/** Loads shared libraries that the executable carries, for hosts without them. */
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
 * Loads libraries, each after those that it needs, and calls `open` with the path of the last. A library that is already loaded
 * is used by all later ones that need its soname, in every thread, whichever path it was loaded from.
 *
 * Throws a Failure: 5, with `fix` in it, where memfd_create is not allowed; 1 where there is no memory.
 */
export function openCarried<T>(carried: CarriedLibrary[], fix: string, open: (path: string) => T): T {
  const files = carried.map(({ name, bytes }) => fileInMemory(name, bytes, fix));
  const paths = files.map((fd) => `/proc/self/fd/${fd}`);
  for (const [index, { symbol }] of carried.entries()) dlopen(paths[index]!, { [symbol]: {} });
  const opened = open(paths.at(-1)!);
  for (const fd of files) libc.close(fd);
  return opened;
}

function fileInMemory(name: string, bytes: Uint8Array, fix: string): number {
  const zeroTerminated = new Uint8Array(new TextEncoder().encode(`${name}\0`).buffer);
  const fd = libc.memfd_create(address(zeroTerminated), MFD_CLOEXEC);
  const code = errno();
  if (fd < 0) {
    throw new Failure(
      `Cannot unpack "${name}": ${strerror(code)}`,
      `${fix}, or allow memfd_create (sysctl vm.memfd_noexec=0)`,
      5,
    );
  }
  for (let done = 0; done < bytes.length; ) {
    const rest = bytes.subarray(done);
    const written = Number(libc.write(fd, rest, rest.length));
    if (written <= 0)
      throw new Failure(`Cannot unpack "${name}": ${strerror(errno())}`, "Free some memory", 1);
    done += written;
  }
  return fd;
}
