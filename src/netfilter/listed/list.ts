/** Lists the rules of the network namespace of this process: by nft, and by iptables where rules are its own. */
import { readIptables } from "./iptables.ts";
import { readNft, readTexts } from "./nft.ts";
import type { ListedChain } from "./ruleset.ts";

/** Bytes that a tool may print, and ms that it may take: a host with a hundred thousand rules is not read. */
const MOST_BYTES = 32 << 20;
const PATIENCE = 5000;

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

/** All rules that there are. Needs CAP_NET_ADMIN. Runs up to six commands, some 10 ms each. */
export async function listRules(): Promise<Listed> {
  const missing: string[] = [];
  const [json, texts, ...saved] = await Promise.all([
    runTool("nft", ["-j", "list", "ruleset"]),
    runTool("nft", ["-a", "list", "ruleset"]),
    ...SAVES.map(([, command]) => runTool(command, [])),
  ]);
  const chains: ListedChain[] = [];
  const isManaged = new Set<string>();
  for (const [index, [tool]] of SAVES.entries()) {
    const result = saved[index]!;
    if (result.error !== null || result.output === null) continue;
    // "iptables" is itself the legacy one on some hosts: the same rules are not read twice.
    const isNft = result.output.includes("(nf_tables)");
    if (
      tool.endsWith("-legacy") &&
      saved[index - 2]?.output &&
      !saved[index - 2]!.output!.includes("(nf_tables)")
    )
      continue;
    const read = readIptables(result.output, tool);
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

/** What a command printed, or why not; both null: there is no such command. */
async function runTool(
  command: string,
  args: string[],
): Promise<{ output: string | null; error: string | null }> {
  const path = Bun.which(command, { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` });
  if (path === null) return { output: null, error: null };
  const running = Bun.spawn([path, ...args], {
    cwd: "/",
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, LC_ALL: "C" },
    timeout: PATIENCE,
    maxBuffer: MOST_BYTES,
  });
  const [output, said] = await Promise.all([
    new Response(running.stdout).text(),
    new Response(running.stderr).text(),
    running.exited,
  ]);
  if (running.exitCode === 0) return { output, error: null };
  return { output: null, error: said.split("\n")[0]!.trim() || `it ended with ${running.exitCode}` };
}
