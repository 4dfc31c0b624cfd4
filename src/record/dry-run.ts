/** What `xcopy record --dry-run` prints. */
import type { RecordOptions } from "./options.ts";
import type { RecordPlan } from "./plan.ts";
import { whatIsRecorded } from "./plan.ts";

function rotation({ rotateSize, rotateTime, keep }: RecordOptions): string | false {
  const reasons = [
    rotateSize !== null && `before the current one has more than ${rotateSize} bytes`,
    rotateTime !== null && `after ${rotateTime} s`,
  ].filter(Boolean);
  if (reasons.length === 0) return false;
  return `a new file begins ${reasons.join(" or ")}; ${keep === 0 ? "all are kept" : `the last ${keep} are kept`}`;
}

function end({ count, duration, limitBytes }: RecordOptions): string {
  const reasons = [
    count !== null && `after ${count} packets`,
    duration !== null && `after ${duration} s`,
    limitBytes !== null && `before the files have more than ${limitBytes} bytes`,
  ].filter(Boolean);
  return reasons.length > 0 ? reasons.join(" or ") : "at a signal (Ctrl-C)";
}

/** Where programs would be attached, what they would match, and what would be written where. */
export function renderRecordPlan(plan: RecordPlan, options: RecordOptions): string {
  const hook = { auto: "tcx, or clsact where the kernel has no tcx", tcx: "tcx", clsact: "clsact" }[
    options.hook
  ];
  const directions = options.both ? "ingress (requests) and egress (responses)" : "ingress";
  const { overwrite } = plan.files;
  const rows: [name: string, text: string | false][] = [
    ["capture", `${whatIsRecorded(plan.services, options)}; they pass unchanged`],
    ...plan.comments.slice(1, -1).map((text): [string, string] => ["", text]),
    ["filter", plan.filter],
    [
      "write",
      `${plan.firstName}, pcapng${options.compress ? " compressed by zstd" : ""}${overwrite ? ", in place of what is there" : ""}`,
    ],
    ["rotate", rotation(options)],
    ["end", end(options)],
    ["attach", `at ${directions} by ${hook}`],
    ["", plan.interfaces.map(({ name }) => name).join(", ")],
    ["mark", `packets with the mark 0x${options.mark.toString(16)} are not recorded`],
  ];
  const lines = rows.flatMap(([name, text]) => (text ? [`${name.padEnd(10)}${text}`] : []));
  return ["Nothing is touched. Without --dry-run this would happen:", "", ...lines].join("\n");
}
