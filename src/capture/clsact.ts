/**
 * Classifiers on clsact qdiscs: what tcx links replace on newer kernels. They outlive their process, so each is written
 * down under /run/xcopy before it is attached.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import {
  attachFilter,
  bpfFailure,
  createClsact,
  type Direction,
  destroyClsact,
  detachFilter,
  type FilterPlace,
  queryFilter,
} from "../native/bpf/libbpf.ts";
import { Failure } from "../native/failure.ts";
import { hasFilters, interfaceName } from "../native/filters.ts";
import { EEXIST, EINVAL } from "../native/libc.ts";

export const DIRECTORY = "/run/xcopy";
const PRIORITIES = 64;

/** What a program is for. */
export type Kind = "request" | "leaving" | "response" | "learn" | "catch" | "swallow" | "outgoing";

/** Whether a program captures requests, whichever way they go, or what production answers to them. */
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
  /** Id of its program: proves that the filter at this place is the one that was attached. */
  programId: number;
  /** Whether the qdisc was not there before. */
  madeQdisc: boolean;
}

/** What one process attached, as it is in /run/xcopy/PID.json. */
export interface Attached {
  pid: number;
  /** In clock ticks since boot: a later process with the same pid has another. */
  startTime: number;
  /** Inode of the network namespace that the interfaces are in. */
  namespace: number;
  filters: Filter[];
}

/** Clock ticks since boot at which a process started; null if none runs with this pid: a zombie holds nothing any more. */
export function startTimeOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may hold anything; the state follows, the start time is the 20th field behind the name.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : Number(fields[19]);
  } catch {
    return null;
  }
}

/** Inode of the network namespace of the calling thread. */
export function currentNamespace(): number {
  return statSync("/proc/thread-self/ns/net").ino;
}

function fileOf(pid: number): string {
  return `${DIRECTORY}/${pid}.json`;
}

function write(record: Attached): void {
  if (record.filters.length === 0) {
    rmSync(fileOf(record.pid), { force: true });
    return;
  }
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  const draft = `${fileOf(record.pid)}.new`;
  writeFileSync(draft, JSON.stringify(record, null, 2) + "\n", { mode: 0o644 });
  renameSync(draft, fileOf(record.pid));
}

/** What all processes wrote down; unreadable files are left out. */
export function readRecords(): Attached[] {
  let names: string[];
  try {
    names = readdirSync(DIRECTORY);
  } catch {
    return [];
  }
  return names
    .filter((name) => /^\d+\.json$/.test(name))
    .flatMap((name) => {
      try {
        return [JSON.parse(readFileSync(`${DIRECTORY}/${name}`, "utf8")) as Attached];
      } catch {
        return [];
      }
    });
}

/** Takes filters of a record off their interfaces, and the record with them; says what it removed. */
export function removeFilters(record: Attached): string[] {
  const removed: string[] = [];
  for (const filter of record.filters) {
    // The interface may be gone, or its index now that of another one.
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
  write(record);
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
   * Attaches a program to an interface, in front of those of other xcopies; all others run before all request programs,
   * by their priorities: lower ones run first, request programs have even ones.
   */
  attach(kind: Kind, programFd: number, ifindex: number): void {
    const name = interfaceName(ifindex)!;
    const made = createClsact(ifindex);
    if (made < 0 && made !== -EEXIST) throw bpfFailure(`make a clsact qdisc on "${name}"`, -made);
    const filter: Filter = {
      ifindex,
      interface: name,
      direction: DIRECTIONS[kind],
      handle: process.pid,
      priority: 0,
      programId: programIdOf(programFd),
      madeQdisc: made === 0,
    };
    this.#record.filters.push(filter);
    let result = -EEXIST;
    const first = kind === "request" ? 2 : 1;
    // Others may sit at a priority with another kind of classifier, which admits none of ours beside it.
    for (filter.priority = first; filter.priority <= PRIORITIES; filter.priority += 2) {
      write(this.#record);
      result = attachFilter(filter, programFd);
      if (result === 0) return;
      if (result !== -EEXIST && result !== -EINVAL) break;
    }
    this.#record.filters.pop();
    write(this.#record);
    if (made === 0) destroyClsact(ifindex);
    throw bpfFailure(`attach a classifier to "${name}"`, -result);
  }

  /** Takes the request programs off. They stay written down until `detach`, which removes the qdiscs. */
  detachRequests(): void {
    for (const filter of this.#record.filters) {
      if (filter.priority % 2 === 0 && queryFilter(filter) === filter.programId) detachFilter(filter);
    }
  }

  detach(): void {
    removeFilters(this.#record);
  }
}

/** The kernel says it beside the descriptor. */
function programIdOf(programFd: number): number {
  const id = /^prog_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${programFd}`, "utf8"))?.[1];
  if (id === undefined) throw new Failure("Cannot find out the id of a BPF program", "Mount /proc", 1);
  return Number(id);
}
