/** What the control group of this process leaves it of the CPUs. */
import { usableCpus } from "../../native/scheduling.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import type { Read, Subject } from "../subject.ts";

/** CPUs that the group may use (cgroup v2, then v1); Infinity: no limit. */
function quota(read: Read): number {
  const path = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1];
  const places = [...new Set([path ?? "/", "/"])];
  const limits = places.map((place) => {
    const [most, period] = (read(`/sys/fs/cgroup${place === "/" ? "" : place}/cpu.max`) ?? "max 1").split(
      " ",
    );
    return most === "max" ? Number.POSITIVE_INFINITY : Number(most) / Number(period);
  });
  const old = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") ?? "-1");
  const period = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") ?? "100000");
  return Math.min(...limits, old > 0 ? old / period : Number.POSITIVE_INFINITY);
}

/** A worker needs up to a CPU of its own; throttled, it loses requests in bursts. */
export function checkCpus(
  { plan, read }: Pick<Subject, "plan" | "read">,
  cpus = usableCpus().length,
): Finding[] {
  const about = findingsAbout("host.cpus", "CPUs");
  const most = quota(read);
  const workers = plan?.workers.count ?? 1;
  const found = `${cpus}${Number.isFinite(most) ? `, the control group allows ${Number(most.toFixed(2))}` : ""}, for ${workers} ${workers === 1 ? "worker" : "workers"}`;
  if (Math.min(most, cpus) >= workers) return about.ok(found);
  return about.warning(
    `${found}: under load it may be stopped for moments and lose requests`,
    Number.isFinite(most)
      ? "Raise the limit (systemd: CPUQuota=; containers: --cpus)."
      : "Give it fewer --workers.",
  );
}
