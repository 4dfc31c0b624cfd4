/** Finds the trace files of the paths that the user named. */
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { isTraceMagic } from "./parser.ts";
import { reasonOf, STANDARD_INPUT } from "./source.ts";
import { isZstdMagic } from "./zstd-frames.ts";

export interface TracePath {
  path: string;
  /** Whether the user named this path, not its directory: then it must be a trace. */
  isNamed: boolean;
}

/**
 * The files of `paths`: a directory stands for all traces in it, sorted by name. Traces are recognised by their first bytes;
 * a compressed file counts as one. `warn` gets a line for everything else in it. Throws the error of stat or readdir.
 */
export function findTraces(paths: string[], warn: (text: string) => void): TracePath[] {
  return paths.flatMap((path): TracePath[] => {
    if (path === STANDARD_INPUT || !statSync(path).isDirectory()) return [{ path, isNamed: true }];
    const files = readdirSync(path)
      .sort()
      .map((name) => join(path, name));
    const traces = files.filter((file) => {
      const reason = whyNoTrace(file);
      if (reason) warn(`"${file}" is left out: ${reason}`);
      return reason === null;
    });
    return traces.map((path) => ({ path, isNamed: false }));
  });
}

function whyNoTrace(path: string): string | null {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return "it is a directory";
    if (!stat.isFile()) return "it is not a regular file";
    const fd = openSync(path, "r");
    try {
      const bytes = new Uint8Array(4);
      if (readSync(fd, bytes, 0, 4, 0) < 4) return "it is too short for a trace";
      const magic = new DataView(bytes.buffer).getUint32(0);
      const isGzip = magic >>> 16 === 0x1f8b;
      return isGzip || isZstdMagic(magic) || isTraceMagic(magic) ? null : "it is neither pcap nor pcapng";
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return reasonOf(error);
  }
}
