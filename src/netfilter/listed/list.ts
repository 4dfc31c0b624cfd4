/** Lists the rules of the network namespace of this process: by nft, and by iptables where rules are its own. */
import { readIptables } from "./iptables.ts";
import { readNft, readTexts } from "./nft.ts";
import type { ListedChain } from "./ruleset.ts";

/** Bytes that a tool may print, and ms that it may take: a host with a hundred thousand rules is not read. */
const MOST_BYTES = 32 << 20;
const PATIENCE = 5000;

/** Where the tools are also for users without /usr/sbin. */
const TOOL_PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;

export interface Listed {
  chains: ListedChain[];
  /** What could not be listed, and why; rules may be in the way that are not in `chains`. */
  missing: string[];
}

/** The variants of iptables that have rules of their own; without "-legacy" the rules may be in nft's tables. */
const SAVES = [
  ["iptables", "iptables-save"],
  ["ip6tables", "ip6tables-save"],
  ["iptables-legacy", "iptables-legacy-save"],
  ["ip6tables-legacy", "ip6tables-legacy-save"],
] as const;

/** What a command printed, or why not; both null: there is no such command. */
interface Printed {
  output: string | null;
  error: string | null;
}

/** What the tools printed. Plain data: it crosses a postMessage. */
export interface RuleTexts {
  json: Printed;
  texts: Printed;
  /** As SAVES. */
  saved: Printed[];
}

/** Has the tools list all rules. Needs CAP_NET_ADMIN. Runs up to six commands side by side, some ms each. */
export async function readRuleTexts(mostBytes = MOST_BYTES, patience = PATIENCE): Promise<RuleTexts> {
  const [json, texts, ...saved] = await Promise.all(
    [
      ["nft", "-j", "list", "ruleset"],
      ["nft", "-a", "list", "ruleset"],
      ...SAVES.map(([, command]) => [command]),
    ].map(([command, ...args]) => runTool(command!, args, mostBytes, patience)),
  );
  return { json: json!, texts: texts!, saved };
}

/** All rules that there are, as far as the tools printed them. */
export function parseRules({ json, texts, saved }: RuleTexts): Listed {
  const missing: string[] = [];
  const chains: ListedChain[] = [];
  const isManaged = new Set<string>();
  for (const [index, [tool]] of SAVES.entries()) {
    const output = saved[index]?.output ?? null;
    if (output === null) continue;
    const isNft = output.includes("(nf_tables)");
    // "iptables" is itself the legacy one on some hosts: the same rules are not read twice.
    const same = saved[index - 2]?.output;
    if (tool.endsWith("-legacy") && same && !same.includes("(nf_tables)")) continue;
    const read = readIptables(output, tool);
    if (isNft) for (const { family, table } of read) isManaged.add(`${family} ${table}`);
    chains.push(...read);
  }
  if (json.output !== null && texts.output !== null) {
    try {
      const read = readNft(json.output, readTexts(texts.output));
      chains.push(...read.filter(({ family, table }) => !isManaged.has(`${family} ${table}`)));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      missing.push("nft: it did not print JSON");
    }
  } else if (json.error !== null) missing.push(`nft: ${json.error}`);
  const isThere = [json, ...saved].some(({ output, error }) => output !== null || error !== null);
  if (!isThere) missing.push("neither nft nor iptables is installed");
  return { chains, missing };
}

/** All rules of this network namespace: see `readRuleTexts`. */
export async function listRules(): Promise<Listed> {
  return parseRules(await readRuleTexts());
}

async function runTool(
  command: string,
  args: string[],
  maxBuffer: number,
  timeout: number,
): Promise<Printed> {
  const path = Bun.which(command, { PATH: TOOL_PATH });
  if (path === null) return { output: null, error: null };
  try {
    const running = Bun.spawn([path, ...args], {
      cwd: "/",
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // Not the key, which may be in ours.
      env: { PATH: TOOL_PATH, LC_ALL: "C" },
      timeout,
      maxBuffer,
    });
    const [output, said] = await Promise.all([
      new Response(running.stdout).text(),
      new Response(running.stderr).text(),
      running.exited,
    ]);
    if (running.exitCode === 0) return { output, error: null };
    return { output: null, error: said.split("\n")[0]!.trim() || `it ended with ${running.exitCode}` };
  } catch (error) {
    // It may not be run: another user's, a filter of system calls, no memory.
    return { output: null, error: (error as Error).message };
  }
}
