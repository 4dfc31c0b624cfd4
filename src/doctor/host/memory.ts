/** Whether there is memory for what the copy takes at its start (rings) and in a burst (requests that wait). */
import { possibleCpus } from "../../capture/maps.ts";
import { MEGABYTE, megabytes, ringBytesFor, waitingBytes } from "../../host/memory.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import type { Read, Subject } from "../subject.ts";

/** Bytes of a ring for requests at least, as in src/copy/load.ts. */
const RING_LEAST = 256 << 10;

/** Bytes of the line of /proc/meminfo; null: there is none. */
function meminfo(read: Read, name: string): number | null {
  const kilobytes = new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(read("/proc/meminfo") ?? "")?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) * 1024;
}

function number(text: string | null): number | null {
  return text !== null && /^\d+\s*$/.test(text) ? Number(text) : null;
}

/** Bytes that the cgroup of this process leaves it (v2, then v1); Infinity: it has no limit. */
function leftInGroup(read: Read): number {
  const groups = read("/proc/self/cgroup") ?? "";
  const left = (limit: number | null, used: number | null) =>
    limit === null || used === null ? Number.POSITIVE_INFINITY : Math.max(0, limit - used);
  const unified = /^0::(\/.*)$/m.exec(groups)?.[1];
  const memory = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(groups)?.[1];
  // Inside a container its own group is the root of what is mounted.
  const lefts = [unified, unified && "/"].flatMap((path) => {
    if (!path) return [];
    const at = `/sys/fs/cgroup${path === "/" ? "" : path}`;
    return [left(number(read(`${at}/memory.max`)), number(read(`${at}/memory.current`)))];
  });
  const old = [memory, memory && "/"].flatMap((path) => {
    if (!path) return [];
    const at = `/sys/fs/cgroup/memory${path === "/" ? "" : path}`;
    const [limit, used] = ["limit_in_bytes", "usage_in_bytes"].map((name) =>
      number(read(`${at}/memory.${name}`)),
    );
    return [left(limit!, used!)];
  });
  return Math.min(...lefts, ...old, Number.POSITIVE_INFINITY);
}

/** Bytes that this process may still take. */
export function availableMemory(read: Read): number {
  return Math.min(meminfo(read, "MemAvailable") ?? Number.POSITIVE_INFINITY, leftInGroup(read));
}

/** -B and -m against what is free. */
export function checkMemory({ options, plan, read }: Pick<Subject, "options" | "plan" | "read">): Finding[] {
  const about = findingsAbout("host.memory", "memory for buffers");
  const available = availableMemory(read);
  const count = (plan?.workers.count ?? 1) * possibleCpus();
  const isLive = plan === null || plan.files.length === 0;
  const rings = isLive ? count * ringBytesFor(options.capture.bufferBytes, count, RING_LEAST) : 0;
  const waiting = waitingBytes(options.memory);
  const parts = `${megabytes(rings)} for captured packets (-B), up to ${megabytes(waiting)} for requests that wait (-m)`;
  if (!Number.isFinite(available)) return about.ok(`${parts}; what is free is not known`);
  const free = `${parts}; ${megabytes(available)} are free`;
  if (rings > available) {
    const most = Math.max(1, Math.floor(available / 4 / MEGABYTE));
    return about.failed(free, `Give it less: -B ${most} -m ${Math.max(16, 2 * most)}`);
  }
  if (rings + waiting > available) {
    const most = Math.max(16, Math.floor((available - rings) / 2 / MEGABYTE));
    return about.warning(`${free}: a burst may take more than there is`, `Give it less: -m ${most}`);
  }
  return about.ok(free);
}

/** Before Linux 5.11 rings count against RLIMIT_MEMLOCK, which an ordinary user cannot raise. */
export function checkLockedMemory({ read }: Pick<Subject, "read">): Finding[] {
  const about = findingsAbout("host.locked_memory", "limit of locked memory");
  const [major, minor] = (read("/proc/sys/kernel/osrelease") ?? "").split(".").map(Number);
  if (major! > 5 || (major === 5 && minor! >= 11)) return [];
  const limit = /^Max locked memory\s+(\S+)/m.exec(read("/proc/self/limits") ?? "")?.[1] ?? "unlimited";
  const status = read("/proc/self/status") ?? "";
  const mayRaise = (BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`) >> 24n) % 2n === 1n;
  if (limit === "unlimited" || mayRaise)
    return about.ok(limit === "unlimited" ? "none" : "raised at the start");
  return about.warning(
    `${limit} bytes, which are too few for eBPF on this kernel`,
    "ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit",
  );
}
