/** Errors of bpf(2) for people: what is missing on this host, and what to do. */
import { release } from "node:os";
import { Failure } from "../failure.ts";
import { EACCES, EINVAL, ENOMEM, ENOSYS, EPERM, strerror } from "../libc.ts";
import { lockedMemory } from "../limits.ts";
import { lastCapability, missingForBpf, readStatus } from "./capabilities.ts";

/** The kernel that has all that xcopy's programs need, and the one from which on maps are not charged to the limit of locked memory. */
const WITH_RING_BUFFERS = [5, 8] as const;
const WITHOUT_LIMIT = [5, 11] as const;

const PRIVILEGES = "Run it as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (and CAP_NET_RAW to send)";

const FORBIDDEN =
  "Something forbids bpf(2) to this process, such as the seccomp filter of a container: allow it there, or run xcopy outside.";

/** Whether a kernel's release ("5.10.0-28-amd64") is older than a version. */
export function isOlder(kernel: string, [major, minor]: readonly [major: number, minor: number]): boolean {
  const [, first, second] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
  if (first === undefined) return false;
  return Number(first) < major || (Number(first) === major && Number(second) < minor);
}

/**
 * Whether a map was refused (errno `code`) because of the limit of locked memory, in bytes. `missing`: the capabilities for BPF
 * that the process lacks.
 */
export function isLimited(code: number, missing: string[], limit: number, kernel: string): boolean {
  const mayLoad = !missing.some((name) => name === "CAP_BPF" || name === "CAP_SYS_ADMIN");
  return code === EPERM && mayLoad && Number.isFinite(limit) && isOlder(kernel, WITHOUT_LIMIT);
}

/** What to do where the kernel cannot. `otherwise` is said of kernels that have what xcopy needs. */
function kernelFix(otherwise: string): string {
  if (!isOlder(release(), WITH_RING_BUFFERS)) return otherwise;
  return `The eBPF programs of xcopy need Linux 5.8 or newer; this is Linux ${release()}.`;
}

function missing(): string[] {
  return missingForBpf(readStatus(), lastCapability());
}

/** The Failure for errno `code` of a bpf call: exit code 4 without privilege, else 5 (the kernel cannot). */
export function bpfFailure(what: string, code: number): Failure {
  const message = `Cannot ${what}: ${strerror(code)}`;
  if (code === EPERM) return new Failure(message, missing().length > 0 ? PRIVILEGES : FORBIDDEN, 4);
  return new Failure(message, fixOf(code), 5);
}

function fixOf(code: number): string {
  if (code === ENOSYS) return `This kernel (Linux ${release()}) is built without BPF.`;
  if (code === ENOMEM) return "Free some memory.";
  return kernelFix(`This kernel (Linux ${release()}) does not do it: please report this.`);
}

/** As `bpfFailure`, where a map could not be made. */
export function mapFailure(what: string, code: number): Failure {
  const limit = lockedMemory();
  if (!isLimited(code, missing(), limit, release())) return bpfFailure(what, code);
  return new Failure(
    `Cannot ${what}: the limit of locked memory, ${limit} bytes, is too small`,
    "Raise it: ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit",
    4,
  );
}

/** As `mapFailure`, where a ring buffer could not be made, whose size the kernel must take if it knows ring buffers. */
export function ringFailure(what: string, code: number, isGoodSize: boolean): Failure {
  if (code !== EINVAL || !isGoodSize) return mapFailure(what, code);
  return new Failure(
    `Cannot ${what}: this kernel has no BPF ring buffers`,
    `The eBPF programs of xcopy need Linux 5.8 or newer; this is Linux ${release()}.`,
    5,
  );
}

/**
 * The Failure for a program that the verifier refuses, for `reason`. `keepLog` writes its log to a file and returns the path,
 * null if it cannot. Exit code 4 where it refuses it for want of a capability, else 5.
 */
export function refusal(what: string, code: number, reason: string, keepLog: () => string | null): Failure {
  const lacking = missing();
  if (code === EACCES && lacking.length > 0) {
    const without = lacking.join(" and ");
    return new Failure(
      `Cannot ${what}: this kernel's verifier refuses it without ${without}: ${reason}`,
      PRIVILEGES,
      4,
    );
  }
  const log = keepLog();
  const where = log === null ? "" : ` (verifier's log: ${log})`;
  const report = `please report this${log === null ? "" : " with that log"}.`;
  return new Failure(
    `Cannot ${what}: this kernel's verifier refuses it: ${reason}${where}`,
    kernelFix(`This kernel (Linux ${release()}) refuses it: ${report}`),
    5,
  );
}
