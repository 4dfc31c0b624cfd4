/** The paths in the maps of the response program. */
import { updateMap } from "../../native/bpf/create-map.ts";
import { BpfHashMap } from "../../native/bpf/map.ts";
import type { BpfObject } from "../../native/bpf/object.ts";
import { prefixWord } from "../../wire/prefix.ts";
import { addressKey, fillPortsOfBoth, words } from "../maps.ts";
import type { KernelPath } from "./options.ts";

/** Puts in one path; `index` is that of its records. Throws a Failure. */
export function fillPath(object: BpfObject, path: KernelPath, index: number): void {
  const prefix = path.payload ? prefixWord(path.payload) : 0;
  updateMap(pathsMap(object, path), pathKey(path), words(index, prefix));
}

/** Takes a path out; its ports stay. */
export function removePath(object: BpfObject, path: KernelPath): void {
  const key = pathKey(path);
  const map = new BpfHashMap(pathsMap(object, path), key.length, 1);
  map.keys.set(key);
  map.delete(1);
}

function pathsMap(object: BpfObject, { transport }: KernelPath): number {
  return object.mapFd(transport === "udp" ? "datagram_paths" : "paths");
}

function pathKey({ target, local, targetPort, family }: KernelPath): Uint8Array {
  return addressKey([target, local], targetPort, family);
}

/** Puts in all paths, each at its place in the list, and their ports. Throws a Failure. */
export function fillPaths(object: BpfObject, paths: KernelPath[]): void {
  for (const [index, path] of paths.entries()) fillPath(object, path, index);
  fillPathPorts(object, paths);
}

/** Responses from the ports of these paths are looked at, from no others. Throws a Failure. */
export function fillPathPorts(object: BpfObject, paths: readonly KernelPath[]): void {
  fillPortsOfBoth(
    object,
    paths.map(({ targetPort, transport = "tcp" }) => ({ port: targetPort, transport })),
  );
}
