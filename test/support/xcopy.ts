/** dist/xcopy in a namespace, and what it says about itself. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { type Running, run } from "./process.ts";
import { until } from "./until.ts";

export const XCOPY = join(import.meta.dir, "../../dist/xcopy");

/** The JSON of `copy` (design section 8), as far as the tests look at it. */
export interface CopyReport {
  mode: string;
  seconds: number;
  capture: { source: string; packets: number; bytes: number; lost: number };
  sessions: Record<
    | "opened"
    | "midstream"
    | "established"
    | "active"
    | "closed"
    | "reset"
    | "failed"
    | "reconnected"
    | "shed",
    number
  >;
  turns: { captured: number; sent: number; answered: number; dropped: number; pending: number };
  sent: { packets: number; bytes: number; retransmitted: number; errors: number };
  responses: { packets: number; bytes: number };
  lag_us: { p50: number; p99: number; max: number };
}

export interface Copy {
  running: Running;
  /** All JSON lines so far, the latest last. */
  reports(): CopyReport[];
  /** Resolves with the first report, past or future, that fulfils the condition. */
  report(what: string, condition: (report: CopyReport) => boolean, ms?: number): Promise<CopyReport>;
  /** SIGTERM (or another signal), then the exit code and the last report. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number; report: CopyReport }>;
}

/**
 * Starts `xcopy copy --json` with these arguments, on the online host if not told otherwise, and resolves when it
 * copies. It reports every 0.1 s.
 */
export async function startCopy(lab: Lab, args: string[], { namespace = lab.online } = {}): Promise<Copy> {
  const copy = launchCopy(lab, args, { namespace });
  await copy.report("the first report", () => true);
  return copy;
}

/** Like `startCopy`, without waiting for anything. */
export function launchCopy(lab: Lab, args: string[], { namespace = lab.online } = {}): Copy {
  const running = lab.start(namespace, [XCOPY, "copy", "--json", "--stats-interval", "0.1", ...args]);
  const parsed: CopyReport[] = [];
  const reports = () => {
    for (const line of running.output.slice(parsed.length)) parsed.push(JSON.parse(line));
    return parsed;
  };
  return {
    running,
    reports,
    report(what, condition, ms = 10_000) {
      return until(
        () =>
          `xcopy reports ${what}; its last report and messages:\n` +
          [running.output.at(-1), ...running.errors.slice(-20)].join("\n"),
        async () => {
          const found = reports().find(condition);
          if (!found && running.ended()) {
            throw new Error(`xcopy ended with ${await running.exited}:\n${running.errors.join("\n")}`);
          }
          return found;
        },
        ms,
      );
    },
    async stop(signal = "SIGTERM") {
      const code = await running.stop(signal);
      const report = reports().at(-1);
      if (!report) throw new Error(`xcopy ended with ${code} and no report:\n${running.errors.join("\n")}`);
      return { code, report };
    },
  };
}

/** Runs xcopy with any arguments to its end, on the online host. */
export async function runXcopy(
  lab: Lab,
  args: string[],
): Promise<{ code: number; output: string; errors: string }> {
  const running = lab.start(lab.online, [XCOPY, ...args]);
  const code = await running.exited;
  return { code, output: running.output.join("\n"), errors: running.errors.join("\n") };
}

/** Kernel objects (programs, links, maps) that a process holds, by kind, from its open files. */
export function kernelObjects(pid: number): { kind: "prog" | "link" | "map"; id: string }[] {
  const directory = `/proc/${pid}/fdinfo`;
  return readdirSync(directory).flatMap((fd) => {
    const text = readFileSync(`${directory}/${fd}`, "utf8");
    // The files of a link name its program too, which counts as held as well.
    return [...text.matchAll(/^(prog|link|map)_id:\s+(\d+)/gm)].map((match) => ({
      kind: match[1] as "prog" | "link" | "map",
      id: match[2]!,
    }));
  });
}

/** Those of the kernel objects that still exist. */
export function stillThere(objects: ReturnType<typeof kernelObjects>): string[] {
  return objects
    .filter(({ kind, id }) => Bun.spawnSync(["bpftool", kind, "show", "id", id]).exitCode === 0)
    .map(({ kind, id }) => `${kind} ${id}`);
}

/** What a user of the online host could find changed there: addresses, routes, rules, filters, sockets, files. */
export function hostState(namespace: string): string {
  const commands = [
    ["ip", "-o", "address", "show"],
    ["ip", "rule", "show"],
    ["ip", "-6", "rule", "show"],
    ["ip", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["nft", "list", "ruleset"],
    ["tc", "qdisc", "show"],
    ["tc", "filter", "show", "dev", "front", "ingress"],
    ["tc", "filter", "show", "dev", "back", "ingress"],
    ["bpftool", "net"],
    ["ss", "-Hanp0"],
    ["ss", "-Hanwp"],
    ["sh", "-c", "ls /run/xcopy /sys/fs/bpf 2>/dev/null || true"],
  ];
  return commands.map((command) => `# ${command.join(" ")}\n${run(namespace, ...command)}`).join("\n");
}
