/** dist/xcopy in a namespace, and what it says about itself. */
import { join } from "node:path";
import type { Account } from "../../src/copy/account/account.ts";
import { keyFor } from "./key.ts";
import type { Lab } from "./lab.ts";
import { patient } from "./patience.ts";
import { type Running, run } from "./process.ts";
import { until } from "./until.ts";

/** The executable under test: what bin/build made, or the one that the environment names. */
export const XCOPY = process.env.XCOPY ?? join(import.meta.dir, "../../dist/xcopy");

/** Seconds of options about time, as users have them. */
const DEFAULTS = { "--drain": 2, "--turn-timeout": 5 };

/** What gives a slow machine as much time as xcopy gives a free one by itself. */
export function patientOption(name: keyof typeof DEFAULTS): string[] {
  const seconds = patient(DEFAULTS[name] * 1000) / 1000;
  return seconds > 1.5 * DEFAULTS[name] ? [name, `${2 * seconds}`] : [];
}

export interface Copy {
  running: Running;
  /** All JSON lines so far, the latest last. */
  reports(): Account[];
  /** Resolves with the first report, past or future, that fulfils the condition. */
  report(what: string, condition: (report: Account) => boolean, ms?: number): Promise<Account>;
  /** Waits for the end of all sessions, then stops it: no answer is on its way any more. */
  finish(): Promise<{ code: number; report: Account }>;
  /** SIGTERM (or another signal), then the exit code and the last report. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number; report: Account }>;
}

export interface CopyStart {
  /** Seconds between two reports. */
  interval?: number;
  namespace?: string;
  /** A command that runs it. */
  prefix?: string[];
  /** What is run instead of the executable under test, and with what else in its environment. */
  command?: string[];
  env?: Record<string, string>;
}

/**
 * Starts `xcopy copy --json` with these arguments, on the online host or in another namespace, and resolves when it
 * copies. It reports every `interval` seconds.
 */
export async function startCopy(lab: Lab, args: string[], options: CopyStart = {}): Promise<Copy> {
  const copy = launchCopy(lab, args, options);
  await copy.running.line(/^copying /);
  return copy;
}

/** Like `startCopy`, without waiting for anything. */
export function launchCopy(
  lab: Lab,
  args: string[],
  { interval = 0.1, namespace = lab.online, command = [XCOPY], env, prefix = [] }: CopyStart = {},
): Copy {
  const patience = args.includes("--drain") || args.includes("--dry-run") ? [] : patientOption("--drain");
  const key = args.includes("-s") ? keyFor(args) : {};
  const options = ["--json", "--stats-interval", `${interval}`, ...patience];
  const running = lab.start(namespace, [...prefix, ...command, "copy", ...options, ...args], {
    ...key,
    ...env,
  });
  const parsed: Account[] = [];
  const reports = () => {
    for (const line of running.output.slice(parsed.length)) parsed.push(JSON.parse(line));
    return parsed;
  };
  const copy: Copy = {
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
    async finish() {
      const before = reports().at(-1);
      const isOver = (report: Account) => report !== before && report.sessions.active === 0;
      await copy.report("the end of all sessions", () => isOver(reports().at(-1)!), 30_000);
      return copy.stop();
    },
    async stop(signal = "SIGTERM") {
      const code = await running.stop(signal);
      const report = reports().at(-1);
      if (!report) throw new Error(`xcopy ended with ${code} and no report:\n${running.errors.join("\n")}`);
      return { code, report };
    },
  };
  return copy;
}

/** The differences between what was captured and what is said to have become of it; empty where the account adds up. */
export function faultsOf(reports: Account[]): string[] {
  return reports.flatMap((report) => {
    const { captured, sent, dropped, pending, answered } = report.turns;
    const reasons = Object.values(report.dropped).reduce((sum, count) => sum + count, 0);
    const faults: [boolean, string][] = [
      [captured !== sent + dropped + pending, "captured is not sent + dropped + pending"],
      [reasons !== dropped, "the reasons do not add up to dropped"],
      [answered > sent, "more was answered than sent"],
      [Math.min(captured, sent, dropped, pending, answered) < 0, "a count is negative"],
    ];
    return faults
      .filter(([fault]) => fault)
      .map(([, text]) => `${text}: ${JSON.stringify({ turns: report.turns, dropped: report.dropped })}`);
  });
}

/** As `faultsOf`, for UDP. */
export function datagramFaultsOf(reports: Account[]): string[] {
  return reports.flatMap(({ udp }) => {
    if (!udp) return ["there is no account of UDP"];
    const { captured, sent, answered, unanswered, waiting, dropped } = udp.datagrams;
    const reasons = Object.values(udp.dropped).reduce((sum, count) => sum + count, 0);
    const isWrong =
      captured !== sent + dropped ||
      reasons !== dropped ||
      sent !== answered + unanswered + waiting ||
      Math.min(captured, sent, answered, unanswered, waiting, dropped) < 0;
    return isWrong ? [`the account does not add up: ${JSON.stringify(udp)}`] : [];
  });
}

/** Runs xcopy with any arguments to its end, on the online host; `prefix` is a command that runs it. */
export async function runXcopy(
  lab: Lab,
  args: string[],
  prefix: string[] = [],
): Promise<{ code: number; output: string; errors: string }> {
  const running = lab.start(lab.online, [...prefix, XCOPY, ...args]);
  const code = await running.exited;
  return { code, output: running.output.join("\n"), errors: running.errors.join("\n") };
}

/**
 * What a user of a host could find changed there: addresses, routes, rules, filters, sockets. Without link-local and multicast addresses, which the kernel adds by itself a while after an interface came
 * up.
 */
export function hostState(namespace: string): string {
  const devices = run(namespace, "ls", "/sys/class/net").trim().split("\n");
  const commands = [
    ["ip", "-o", "address", "show"],
    ["ip", "rule", "show"],
    ["ip", "-6", "rule", "show"],
    ["ip", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["nft", "list", "ruleset"],
    ["tc", "qdisc", "show"],
    ...devices.flatMap((device) =>
      ["ingress", "egress"].map((hook) => ["tc", "filter", "show", "dev", device, hook]),
    ),
    ["bpftool", "net"],
    ["ss", "-Hanp0"],
    ["ss", "-Hanwp"],
  ];
  return commands
    .flatMap((command) => [`# ${command.join(" ")}`, ...run(namespace, ...command).split("\n")])
    .filter((line) => !/\bfe80:|multicast ff00::/.test(line))
    .join("\n");
}
