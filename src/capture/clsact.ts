/**
 * tc filters on clsact qdiscs, for kernels without tcx (before 6.6). They outlive their process, so each is noted in
 * /run/xcopy before it is attached.
 */
import { readFileSync, rmSync, statSync } from "node:fs";
import { bpfFailure } from "../native/bpf/errors.ts";
import type { Direction } from "../native/bpf/link.ts";
import {
  attachFilter,
  createClsact,
  destroyClsact,
  detachFilter,
  type FilterPlace,
  queryFilter,
  replaceFilter,
} from "../native/bpf/tc-filter.ts";
import { Failure } from "../native/failure.ts";
import { hasFilters, interfaceName } from "../native/filters.ts";
import { EEXIST, EINVAL } from "../native/libc.ts";
import { hasClsact } from "../native/netlink/qdiscs.ts";
import { DIRECTORY, namesIn, writeRecord } from "../native/run-directory.ts";

const PRIORITIES = 64;

/** What a program does; `leaving`: the request program at egress. */
export type Kind = "request" | "leaving" | "response" | "learn" | "catch" | "swallow" | "outgoing";

/** Whether a program captures requests, in either direction, or what production's services answer. */
export function isRequest(kind: Kind): boolean {
  return kind === "request" || kind === "leaving" || kind === "outgoing";
}

export const DIRECTIONS: Record<Kind, Direction> = {
  request: "ingress",
  leaving: "egress",
  response: "ingress",
  learn: "ingress",
  catch: "egress",
  swallow: "ingress",
  outgoing: "egress",
};

export interface Filter extends FilterPlace {
  interface: string;
  /** What its program does; records of earlier versions do not have it. */
  kind?: Kind;
  /** Id of its program. The same id in the kernel proves that the filter is the one that we attached. */
  programId: number;
  /** Whether an xcopy created the qdisc: this process, or one that was there before. The last that leaves removes it. */
  madeQdisc: boolean;
}

/** The content of /run/xcopy/PID.json: what one process attached. */
export interface Attached {
  pid: number;
  /** In clock ticks since boot: a later process with the same pid has another. */
  startTime: number;
  /** Inode of the network namespace that the interfaces are in. */
  namespace: number;
  filters: Filter[];
}

/** Start time of a process in clock ticks since boot; null if none runs with this pid (a zombie does not count). */
export function startTimeOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name is in parentheses and may contain any character. After it, the first field is the state, the 20th the start time.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : Number(fields[19]);
  } catch {
    return null;
  }
}

/**
 * Whether a process that began at `startTime` has ended. One that /proc does not show (hidepid), because it is of another user,
 * counts as running: what it left may be in use.
 */
export function hasEnded(pid: number, startTime: number | null): boolean {
  const now = startTimeOf(pid);
  if (now === startTime) return false;
  if (now !== null) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EPERM";
  }
}

/** Inode of the network namespace of the calling thread. */
export function currentNamespace(): number {
  return statSync("/proc/thread-self/ns/net").ino;
}

function fileOf(pid: number): string {
  return `${DIRECTORY}/${pid}.json`;
}

/** Throws a Failure (4). */
function write(record: Attached): void {
  const file = fileOf(record.pid);
  try {
    if (record.filters.length === 0) {
      rmSync(file, { force: true });
      return;
    }
    writeRecord(file, `${JSON.stringify(record, null, 2)}\n`, 0o644);
  } catch (error) {
    const fix = `Run it as root, or give the service the directory ${DIRECTORY} (systemd: RuntimeDirectory=xcopy).`;
    throw new Failure(`Cannot write "${file}": ${(error as Error).message}`, fix, 4);
  }
}

/** The records of all processes; unreadable files are left out. */
export function readRecords(): Attached[] {
  return namesIn()
    .filter((name) => /^\d+\.json$/.test(name))
    .flatMap((name) => {
      try {
        return [JSON.parse(readFileSync(`${DIRECTORY}/${name}`, "utf8")) as Attached];
      } catch {
        return [];
      }
    });
}

/** Removes the filters of a record, the qdiscs that are empty then, and the record's file. Returns what it removed. */
export function removeFilters(record: Attached): string[] {
  const removed: string[] = [];
  for (const filter of record.filters) {
    // The interface may be gone, and its index may be in use by another one.
    if (interfaceName(filter.ifindex) !== filter.interface) continue;
    if (queryFilter(filter) === filter.programId && detachFilter(filter) === 0) {
      const direction = filter.direction === "egress" ? "egress " : "";
      removed.push(`${direction}filter ${filter.priority} on "${filter.interface}"`);
    }
  }
  for (const { madeQdisc, ifindex, interface: name } of record.filters) {
    if (!madeQdisc || interfaceName(ifindex) !== name || hasFilters(ifindex)) continue;
    if (destroyClsact(ifindex) === 0) removed.push(`clsact qdisc on "${name}"`);
  }
  record.filters = [];
  try {
    write(record);
  } catch (error) {
    // The file of a process of another user stays; there is nothing to remove any more.
    if (!(error instanceof Failure)) throw error;
  }
  return removed;
}

/** The filters of this process. */
export class ClsactFilters {
  readonly #record: Attached;

  constructor() {
    const pid = process.pid;
    this.#record = { pid, startTime: startTimeOf(pid)!, namespace: currentNamespace(), filters: [] };
  }

  /**
   * Attaches a program to an interface. Filters with a lower priority number run first: `request` starts at 2 and takes even
   * numbers, all other kinds start at 1 and take odd ones, so that a response program normally runs before. Throws a Failure.
   */
  attach(kind: Kind, programFd: number, ifindex: number): void {
    const name = interfaceName(ifindex)!;
    const isFree = !hasClsact(ifindex);
    const filter: Filter = {
      ifindex,
      interface: name,
      kind,
      direction: DIRECTIONS[kind],
      handle: process.pid,
      priority: 0,
      programId: programIdOf(programFd),
      madeQdisc: isFree || this.#isMadeByAnother(ifindex),
    };
    this.#record.filters.push(filter);
    // The qdisc is noted before it is there.
    if (isFree) write(this.#record);
    const made = createClsact(ifindex);
    if (made < 0 && made !== -EEXIST) {
      this.#forget(filter);
      throw bpfFailure(`make a clsact qdisc on "${name}"`, -made);
    }
    // Somebody else was faster.
    if (isFree && made < 0) filter.madeQdisc = this.#isMadeByAnother(ifindex);
    let result = -EEXIST;
    const first = kind === "request" ? 2 : 1;
    // A priority may be in use by another kind of classifier; then the kernel allows no BPF filter there.
    for (filter.priority = first; filter.priority <= PRIORITIES; filter.priority += 2) {
      write(this.#record);
      result = attachFilter(filter, programFd);
      if (result === 0) return;
      if (result !== -EEXIST && result !== -EINVAL) break;
    }
    if (made === 0) destroyClsact(ifindex);
    this.#forget(filter);
    throw bpfFailure(`attach a classifier to "${name}"`, -result);
  }

  /** Another program takes the place of the one that captures requests on an interface. Throws a Failure. */
  replaceRequest(programFd: number, ifindex: number): void {
    const filters = this.#record.filters.filter(
      (filter) => filter.ifindex === ifindex && (filter.kind === "request" || filter.kind === "leaving"),
    );
    for (const filter of filters) {
      const next = { ...filter, programId: programIdOf(programFd) };
      // Until it is known which of the two is there, the record has both.
      this.#record.filters.push(next);
      write(this.#record);
      const result = replaceFilter(filter, programFd);
      this.#forget(result < 0 ? next : filter);
      if (result < 0) throw bpfFailure(`replace a classifier on "${filter.interface}"`, -result);
    }
  }

  #forget(filter: Filter): void {
    this.#record.filters.splice(this.#record.filters.indexOf(filter), 1);
    write(this.#record);
  }

  #isMadeByAnother(ifindex: number): boolean {
    return readRecords().some(
      ({ namespace, filters }) =>
        namespace === this.#record.namespace &&
        filters.some((filter) => filter.ifindex === ifindex && filter.madeQdisc),
    );
  }

  /** Removes the filters that capture requests. The record keeps them until `detach`, which also removes the qdiscs. */
  detachRequests(): void {
    for (const filter of this.#record.filters) {
      const captures = filter.kind !== undefined && isRequest(filter.kind);
      if (captures && queryFilter(filter) === filter.programId) detachFilter(filter);
    }
  }

  detach(): void {
    removeFilters(this.#record);
  }
}

/** The id of a program, from its descriptor's fdinfo. */
function programIdOf(programFd: number): number {
  const id = /^prog_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${programFd}`, "utf8"))?.[1];
  if (id === undefined) throw new Failure("Cannot find out the id of a BPF program", "Mount /proc.", 1);
  return Number(id);
}
