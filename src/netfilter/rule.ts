/**
 * Makes and removes the netfilter rules of a process: by nft where that works, else by iptables and ip6tables. The tools are
 * tried in this order.
 *
 * The rule that sends the responses of the services to a queue runs after connection tracking and the mangle rules of others,
 * and before the filter rules. It runs before source NAT of forwarded responses (published ports of containers): it sees the
 * address and port of the container. Packets that a bridge forwards without routing do not pass it.
 *
 * It always has the queue bypass: while no process reads the queue, responses pass. It is named after its process, and noted
 * in /run/xcopy before it is made.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { currentNamespace, hasEnded, startTimeOf } from "../capture/clsact.ts";
import type { Address } from "../config/address.ts";
import { Failure } from "../native/failure.ts";
import { NetlinkError, route } from "../native/netlink/netlink.ts";
import { DIRECTORY, namesIn, writeRecord } from "../native/run-directory.ts";
import {
  chainOf,
  type Family,
  HOOKS,
  type Hook,
  jump,
  queueRuleset,
  type RuleOptions,
  type Ruleset,
} from "./ruleset.ts";

export interface Rule {
  tool: Tool;
  /** Name of the nft table; the iptables chains are NAME-HOOK, for example NAME-output. */
  name: string;
  /** Removes the rule. Throws a Failure if it cannot. */
  remove(): void;
}

type Tool = "nft" | "iptables" | "iptables-legacy";

/** The content of /run/xcopy/rules-PID.json. */
interface Written {
  pid: number;
  /** Start time of the process in clock ticks since boot: process ids are reused. */
  startTime: number | null;
  /** Inode of the network namespace. */
  namespace: number;
  tool: Tool;
  name: string;
  hooks: Hook[];
  /** The table of iptables; absent: mangle. */
  table?: Ruleset["table"];
}

const TOOLS: Tool[] = ["nft", "iptables", "iptables-legacy"];

/**
 * Makes the rule that queues responses in the network namespace of this thread, and removes rules there of processes that have
 * ended. The queue should already have its reader. Throws a Failure: 4 if not permitted, 5 if there is neither nft nor iptables,
 * or if the kernel has no such rules.
 */
export function makeRule(options: RuleOptions): Rule {
  const fix =
    'Load the kernel\'s module with "modprobe nft_queue" or "modprobe xt_NFQUEUE", or make the rule yourself and leave -o out.';
  return makeRules(queueRuleset(options, isLocal), "make the rule that queues responses", fix);
}

/** As `makeRule`, for any ruleset; a process makes one. `what` completes "Cannot ..."; `fix` is for when no tool works. */
export function makeRules(ruleset: Ruleset, what: string, fix: string): Rule {
  removeStaleRules();
  const { name, hooks, table } = ruleset;
  const written: Written = {
    pid: process.pid,
    startTime: startTimeOf(process.pid),
    namespace: currentNamespace(),
    tool: "nft",
    name,
    hooks,
    table,
  };
  const causes: string[] = [];
  for (written.tool of TOOLS) {
    if (find(written.tool) === null) continue;
    write(written);
    const cause = tryTool(written, ruleset);
    if (cause === null) return { tool: written.tool, name, remove: () => void takeAway(written) };
    causes.push(`${written.tool}: ${cause}`);
    // nft makes all rules or none; the others make those of one family after the other.
    if (written.tool === "nft" || isRefusal(cause)) rmSync(fileOf(written), { force: true });
    else takeAway(written);
    if (isRefusal(cause)) break;
  }
  throw ruleFailure(what, causes, fix);
}

/** The rule as nft reads it, for a dry run. */
export function describeRule(options: RuleOptions): string {
  return queueRuleset(options, isLocal).nft;
}

/** Makes the rules with one tool. Returns null on success, else the reason. */
function tryTool(written: Written, ruleset: Ruleset): string | null {
  const { tool } = written;
  if (tool === "nft") return execute("nft", ["-f", "-"], ruleset.nft);
  for (const family of families()) {
    const rules = ruleset.iptables(family);
    if (rules === null) continue;
    // A chain with this name may be left from a container with its own process ids and /run: a second jump would lead to it.
    removeChains(written, family);
    const cause = execute(`${commandOf(tool, family)}-restore`, ["--noflush", "-w", "5"], rules);
    if (cause !== null) return cause;
  }
  return null;
}

/** Removes the rules of processes that have ended, in this network namespace. Returns what it removed, one string each. */
export function removeStaleRules(): string[] {
  const namespace = currentNamespace();
  const removed: string[] = [];
  for (const written of readWritten()) {
    if (written.namespace !== namespace || !hasEnded(written.pid, written.startTime)) continue;
    if (takeAway(written)) removed.push(`rule "${written.name}" of ${written.tool}`);
  }
  return removed;
}

/** Removes a rule, and then its file. Returns false if the rule was already gone. Throws a Failure if it cannot. */
function takeAway(written: Written): boolean {
  const { tool, name } = written;
  let results: (string | null)[];
  if (tool === "nft") results = [execute("nft", ["delete", "table", "inet", name])];
  else results = families().flatMap((family) => removeChains(written, family));
  const causes = results.filter((cause) => cause !== null && !isAbsence(cause));
  if (causes.length > 0) throw ruleFailure(`remove the rule "${name}"`, [`${tool}: ${causes[0]}`]);
  try {
    rmSync(fileOf(written), { force: true });
  } catch {
    // The file of another user's process stays: the rule is gone.
  }
  return results.includes(null);
}

/** One result for each chain: null if it was removed, else why not. */
function removeChains({ tool, name, hooks, table = "mangle" }: Written, family: Family): (string | null)[] {
  const command = commandOf(tool, family);
  const change = (...rest: string[]) => execute(command, ["-w", "5", "-t", table, ...rest]);
  return hooks.map((hook) => {
    change("-D", ...jump(name, hook));
    change("-F", chainOf(name, hook));
    return change("-X", chainOf(name, hook));
  });
}

/** Whether a tool says that the rule or chain to remove does not exist. */
function isAbsence(cause: string): boolean {
  return /No such file or directory|No chain\/target\/match|does not exist/.test(cause);
}

function isRefusal(cause: string): boolean {
  return /not permitted|permission denied/i.test(cause);
}

function families(): Family[] {
  return existsSync("/proc/sys/net/ipv6") ? [4, 6] : [4];
}

function commandOf(tool: Tool, family: Family): string {
  return family === 4 ? tool : tool.replace("ip", "ip6");
}

/** The path of a command, also in /usr/sbin and /sbin where PATH does not have them; null if there is none. */
function find(command: string): string | null {
  return Bun.which(command, { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` });
}

/** Runs a command to its end. Returns null if it succeeded, else its first line on stderr. */
function execute(command: string, args: string[], input = ""): string | null {
  const path = find(command);
  if (path === null) return `no command "${command}"`;
  const done = Bun.spawnSync([path, ...args], {
    // Our own may be deleted.
    cwd: "/",
    stdin: Buffer.from(input),
    env: { ...process.env, LC_ALL: "C" },
  });
  if (done.exitCode === 0) return null;
  const said = done.stderr
    .toString()
    .split("\n")
    .map((line) => line.replace(/^.*?\bError: |^ip6?tables\S*( v\S+( \(\w+\))?)?: /, "").trim())
    .find(Boolean);
  return said ?? `it ended with ${done.exitCode}`;
}

function ruleFailure(
  what: string,
  causes: string[],
  fix = "Look at the rules of netfilter: nft list ruleset",
): Failure {
  if (causes.length === 0)
    return new Failure(
      `Cannot ${what}: neither nft nor iptables is there`,
      "Install nftables (Debian: apt-get install nftables).",
      5,
    );
  const message = `Cannot ${what}: ${causes.join("; ")}`;
  if (causes.some(isRefusal))
    return new Failure(message, "Run it as root, or with the capability CAP_NET_ADMIN.", 4);
  return new Failure(message, fix, 5);
}

/** Whether the address is one of this host. */
function isLocal({ bytes }: Address): boolean {
  try {
    return route(bytes).type === "local";
  } catch (error) {
    if (error instanceof NetlinkError) return false; // No route, or one that refuses.
    throw error;
  }
}

/**
 * Whether xcopy could have written it. Root reads the records of services that run as other users: no command is run with words
 * that these have chosen.
 */
export function isOurs({ pid, tool, name, hooks, table }: Written): boolean {
  return (
    Number.isSafeInteger(pid) &&
    TOOLS.includes(tool) &&
    new RegExp(`^xcopy-${pid}-(\\d+|d)$`).test(name) &&
    Array.isArray(hooks) &&
    hooks.every((hook) => [...HOOKS, "prerouting"].includes(hook)) &&
    (table === undefined || table === "mangle" || table === "raw")
  );
}

function fileOf({ pid }: { pid: number }): string {
  return `${DIRECTORY}/rules-${pid}.json`;
}

function write(written: Written): void {
  const file = fileOf(written);
  try {
    writeRecord(file, `${JSON.stringify(written, null, 2)}\n`, 0o600);
  } catch (error) {
    const fix = `Run it as root, or give the service the directory ${DIRECTORY} (systemd: RuntimeDirectory=xcopy).`;
    throw new Failure(`Cannot write "${file}": ${(error as Error).message}`, fix, 4);
  }
}

/** The records of all processes; unreadable files, and such as xcopy does not write, are left out. */
function readWritten(): Written[] {
  return namesIn()
    .filter((name) => /^rules-\d+\.json$/.test(name))
    .flatMap((name) => {
      try {
        const written = JSON.parse(readFileSync(`${DIRECTORY}/${name}`, "utf8")) as Written;
        return isOurs(written) ? [written] : [];
      } catch {
        return [];
      }
    });
}
