/**
 * Every block of commands of the pages for users is run, on the hosts that they speak of. The fence says how:
 *
 *     sh production                   on this host (target, client, assistant), to its end, with exit code 0
 *     sh production exit=3            with this one
 *     sh production until=copied      until what clients ask has reached the target, then Ctrl-C
 *     sh production until=recording   until a line begins so and clients have asked, then Ctrl-C
 *     sh target stays=catching        until the end of the page; what comes next waits for a line that begins so
 *     sh production alone             what stays is ended first
 *     sh production dry               with --dry-run behind each command of xcopy
 *     sh booted=start                 on a booted Debian, at this moment of packages/life.test.ts
 *     sh not=NAME                     not run, for the reason in exceptions.ts
 *
 * A block `text output` behind it has lines of what it printed, in this order: numbers and units may differ, "..." is anything.
 */
import { afterAll, test } from "bun:test";
import type { Running } from "../support/process.ts";
import { until } from "../support/until.ts";
import { DEVELOPERS } from "./exceptions.ts";
import { createHosts, type Hosts, removeMountPoint, type Visit } from "./hosts.ts";
import { type Block, type Page, readPages, wordOf } from "./pages.ts";

const HOSTS = ["production", "target", "client", "assistant"];
/** Pages at a time. */
const AT_ONCE = 3;

const pages = readPages().filter(({ path }) => !DEVELOPERS.includes(path));

/** Kernels before 6.6 have the other one. */
const TCX = /tcx\b/g;
const EITHER = "(?:tcx|clsact)";

/** What a line of a page stands for. */
function patternOf(line: string): RegExp {
  const parts = line.trim().split(/(\.\.\.|\d[\d,.]*(?: (?:us|ms|s|MB|GB|KB|%)(?!\w))?)/);
  const source = parts.map((part, index) => {
    if (index % 2 === 0)
      return RegExp.escape(part)
        .replaceAll(/(\\x20| )+/g, "\\s+")
        .replaceAll(TCX, EITHER);
    return part === "..." ? ".*" : "[\\d,.]+(?: (?:us|ms|s|MB|GB|KB|%))?";
  });
  return new RegExp(source.join(""));
}

/** The lines of a page that a command did not print, in their order. */
function missing(expected: Block, printed: readonly string[]): string[] {
  let from = 0;
  return expected.text.split("\n").filter((line) => {
    if (line.trim() === "" || line.trim() === "...") return false;
    const pattern = patternOf(line);
    const at = printed.findIndex((text, index) => index >= from && pattern.test(text));
    if (at < 0) return true;
    from = at + 1;
    return false;
  });
}

async function interrupt(running: Running): Promise<void> {
  await running.stop("SIGINT");
}

/** Lets clients ask until all services of the page were asked at the target. */
async function copySomething(hosts: Visit): Promise<void> {
  for (const { ask, asked } of hosts.traffic) {
    const before = asked();
    ask();
    await until("something is copied", () => asked() > before);
  }
}

async function runBlock(hosts: Visit, block: Block): Promise<Running> {
  const host = block.words.find((word) => HOSTS.includes(word)) ?? "";
  const [stays, condition] = [wordOf(block, "stays"), wordOf(block, "until")];
  const isDry = block.words.includes("dry");
  if (block.words.includes("alone")) await hosts.end();
  const text = isDry ? block.text.replaceAll(/^xcopy .*?(?=\s*(?:#.*)?$)/gm, "$& --dry-run") : block.text;
  const running = hosts.start(host, stays || condition ? `exec ${text}` : text);
  if (stays) {
    await running.line(new RegExp(`^${stays}`));
    return running;
  }
  if (condition === "copied") {
    await running.line(/^copying /);
    await copySomething(hosts);
    await interrupt(running);
  } else if (condition) {
    await running.line(new RegExp(`^(tcpdump: )?${condition}`));
    for (const { ask } of hosts.traffic) ask();
    await interrupt(running);
  }
  const code = await running.exited;
  const said = [...running.output, ...running.errors].slice(-20).join("\n");
  if (code !== Number(wordOf(block, "exit") ?? 0))
    throw new Error(`${block.place} ended with ${code}:\n${said}`);
  return running;
}

/** Copies that have been run, by what they depend on: the same one in several pages is run once. */
const done = new Map<string, Promise<Running>>();

/** Hosts that no page is on, by what they have. A page that changes them ("own") leaves none behind. */
const idle = new Map<string, Hosts[]>();
afterAll(async () => {
  for (const hosts of [...idle.values()].flat()) await hosts.remove();
  removeMountPoint();
});

async function runPage({ blocks, needs }: Page): Promise<void> {
  const kind = `${needs}`;
  const place = idle.get(kind)?.pop() ?? (await createHosts(needs));
  const hosts = place.visit();
  try {
    let last: Running | null = null;
    let before = kind;
    for (const block of blocks) {
      if (isRun(block)) {
        const isCopy = wordOf(block, "until") === "copied";
        const key = `${before} ${block.words} ${block.text}`;
        // What another command of this page has left behind may make a difference.
        const isDry = block.words.includes("dry") || /^.* --dry-run$/.test(block.text);
        if (!isCopy && !isDry) before += block.place;
        const run = (isCopy && done.get(key)) || runBlock(hosts, block);
        if (isCopy) done.set(key, run);
        last = await run.catch((error) => {
          throw new Error(`${block.place}: ${(error as Error).message}`);
        });
      } else if (block.words.includes("output")) {
        const printed = [...last!.output, ...last!.errors];
        const lines = missing(block, printed);
        if (lines.length > 0)
          throw new Error(
            `${block.place}: not printed:\n${lines.join("\n")}\nprinted:\n${printed.join("\n")}`,
          );
      }
    }
  } finally {
    await hosts.end();
    if (needs.includes("own")) await place.remove();
    else idle.set(kind, [...(idle.get(kind) ?? []), place]);
  }
}

/** Runs at most so many at a time. */
function createGate(places: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let free = places;
  return async (work) => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}

const gate = createGate(AT_ONCE);
const isRun = (block: Block) =>
  block.language === "sh" && wordOf(block, "not") === null && wordOf(block, "booted") === null;

for (const page of pages.filter(({ blocks }) => blocks.some(isRun)))
  test.concurrent(`${page.path}: every command does what it says`, () => gate(() => runPage(page)));
