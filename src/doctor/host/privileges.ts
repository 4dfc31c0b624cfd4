/** What this process may do: capabilities, seccomp, lockdown. */
import { needsBpf } from "../../config/capture.ts";
import { fixFor, missingCapabilities } from "../../host/privileges.ts";
import { CAP } from "../../native/bpf/capabilities.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import type { Subject } from "../subject.ts";

type Look = Pick<Subject, "options" | "read">;

/** "uid 1000", from the text of /proc/self/status. */
function userOf(status: string): string {
  const uid = /^Uid:\s*\d+\s+(\d+)/m.exec(status)?.[1] ?? "?";
  return uid === "0" ? "root" : `uid ${uid}`;
}

/** The capabilities that copying takes and this process lacks; `isEnough`: a copy starts without them, by sockets in place of eBPF. */
export function lackedCapabilities({ options, read }: Look): { missing: string[]; isEnough: boolean } {
  const status = read("/proc/self/status") ?? "";
  const last = Number(read("/proc/sys/kernel/cap_last_cap") ?? CAP.CHECKPOINT_RESTORE);
  const missing = missingCapabilities(status, { bpf: "needed", sockets: true }, last);
  const bpf = needsBpf(options.capture) ? "needed" : "wanted";
  return { missing, isEnough: missingCapabilities(status, { bpf, sockets: true }, last).length === 0 };
}

/** Whether this process has them. */
export function checkPrivileges(look: Look): Finding[] {
  const about = findingsAbout("host.privileges", "capabilities");
  const user = userOf(look.read("/proc/self/status") ?? "");
  const { missing, isEnough } = lackedCapabilities(look);
  if (missing.length === 0) return about.ok(`${user}, with all that is needed`);
  const found = `${user} lacks ${missing.join(", ")}`;
  return isEnough
    ? about.warning(`${found}: sockets take the place of eBPF`, fixFor(missing))
    : about.failed(found, fixFor(missing));
}

/** What forbids system calls or programs to everybody here: seccomp, lockdown. None of it alone is a fault: programs are tried. */
export function checkRestrictions({ read }: Pick<Subject, "read">): Finding[] {
  const about = findingsAbout("host.restrictions", "restrictions of the kernel");
  const seccomp = /^Seccomp:\s*(\d)/m.exec(read("/proc/self/status") ?? "")?.[1] ?? "0";
  const lockdown = /\[(\w+)\]/.exec(read("/sys/kernel/security/lockdown") ?? "")?.[1] ?? "none";
  const unprivileged = read("/proc/sys/kernel/unprivileged_bpf_disabled")?.trim();
  return about.ok(
    [
      seccomp === "0" ? "no seccomp filter" : "a seccomp filter (a container's?)",
      lockdown === "none" ? "no lockdown" : `lockdown ${lockdown}, which xcopy's programs pass`,
      ...(unprivileged === undefined
        ? []
        : [`eBPF for ${unprivileged === "0" ? "every user" : "privileged users only"}`]),
    ].join(", "),
  );
}
