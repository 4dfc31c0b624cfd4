/** The completions in real shells: each on a terminal of its own is asked for all candidates, which it puts on the line. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMMANDS } from "../../src/command-line/commands.ts";
import { bashCompletion } from "../../src/completion/bash.ts";
import { fishCompletion } from "../../src/completion/fish.ts";
import { zshCompletion } from "../../src/completion/zsh.ts";
import { until } from "../support/until.ts";

const SPECS = Object.values(COMMANDS);
const DIRECTORY = mkdtempSync(join(tmpdir(), "xcopy-completion-"));
const SOCKETS = "/dev/shm/xcopy-completion-test";
const interfaces = readdirSync("/sys/class/net").filter((name) =>
  existsSync(`/sys/class/net/${name}/ifindex`),
);
const cpus = readdirSync("/sys/devices/system/cpu").flatMap((name) => /^cpu(\d+)$/.exec(name)?.[1] ?? []);

/** What stands before the word that is completed, the word, and what it may become. */
const TABLE: [before: string, word: string, candidates: string[]][] = [
  ["", "co", ["copy", "config", "completion"]],
  ["", "x", []],
  ["copy", "--cap", ["--capture"]],
  ["copy", "--compare-", ["--compare-field", "--compare-prefix"]],
  ["key", "-", ["-h", "--help", "-v", "--version"]],
  ["reload", "--", ["--help", "--version"]],
  ["copy --dry-run -x 80-10.0.0.2 --force", "--dr", ["--drain"]],
  ["copy -p 36525 --late=spread:1", "--po", ["--ports"]],
  ["copy -x 80-10.0.0.2:8080", "--tr", ["--transfer", "--trust-logins"]],
  ["copy -i", "--", []],
  ["copy --compare", "--compare-f", ["--compare-field"]],
  ["copy --compare body", "--compare", ["--compare-field", "--compare-prefix"]],
  ["copy --", "--tr", []],
  ["copy --capture", "xd", ["xdp", "xdp-generic"]],
  ["copy", "--capture=xd", ["xdp", "xdp-generic"]],
  ["copy -F 'tcp and port 80' --pace", "", ["clock", "think", "fast"]],
  ["copy --late", "s", ["spread", "spread:"]],
  ["copy --pace", "clock,t", []],
  ["copy --protocol", "m", ["mysql"]],
  ["copy --protocol", "3306=m", ["3306=mysql"]],
  ["copy --protocol", "80=http,3306=m", ["80=http,3306=mysql"]],
  ["copy --compare", "", ["heads", "body"]],
  ["copy -i", "l", ["lo"]],
  ["copy -i", "an", ["any"]],
  ["copy -i", "ke", ["key.one", "key.two"]],
  ["record -i", "", interfaces],
  ["record -i", "any,l", ["any,lo"]],
  ["record -i", "lo,l", interfaces.filter((name) => /^l(?!o$)/.test(name)).map((name) => `lo,${name}`)],
  ["record", "--interface=any,l", ["any,lo"]],
  ["copy -o", "l", ["lo"]],
  ["copy -x", "8", []],
  ["copy -o", "lo,l", []],
  ["copy --key-file", "ke", ["key.one", "key.two"]],
  ["copy -x '80-[2001:db8::2]:80' --key-file", "key.o", ["key.one"]],
  ["copy --run-as", "daemo", ["daemon"]],
  ["copy --cpus", "0,", cpus.filter((cpu) => cpu !== "0").map((cpu) => `0,${cpu}`)],
  ["copy --config shops.toml --only", "", ["books", "shoes"]],
  ["copy --config=shops.toml --only", "b", ["books"]],
  ["intercept --config shops.toml --only", "", ["gate"]],
  ["config show shops.toml --only", "", ["books", "gate", "shoes"]],
  ["top", "424", ["4242"]],
  ["intercept --mode", "t", ["target"]],
  ["doctor --capture", "tc", ["tcx"]],
  ["config", "", ["check", "show", "schema"]],
  ["config check", "sho", ["shops.toml"]],
  ["config --only books", "sho", ["show"]],
  ["config check shops.toml", "sho", []],
  ["config schema", "sho", []],
  ["report old.json", "ke", ["key.one", "key.two"]],
  ["report --html page.html --json", "ke", ["key.one", "key.two"]],
  ["report old.json new.json", "ke", []],
  ["report --", "ke", ["key.one", "key.two"]],
  ["top --once", "424", ["4242"]],
  ["key", "ke", []],
  ["key", "di", ["directory"]],
  ["completion", "", ["bash", "zsh", "fish"]],
  ["man", "di", ["directory"]],
];

const path = (name: string) => join(DIRECTORY, name);
const socket = () => Bun.listen({ unix: `${SOCKETS}/top-4242.sock`, socket: { data() {} } });
let listener: ReturnType<typeof socket>;

/** In bash and zsh: keeps the words of a command line that was entered. */
const RECORDER = `xcopy() { local word; for word in "$@"; do printf '%s\\037' "$word"; done >>"$OUT"; echo >>"$OUT"; }
PS1='> '
`;

beforeAll(() => {
  mkdirSync(path("work/directory"), { recursive: true });
  for (const name of ["key.one", "key.two"]) writeFileSync(path(`work/${name}`), "");
  writeFileSync(
    path("work/shops.toml"),
    "[copy]\nlog = 'x'\n[copy.books]\n[ copy.shoes ]  # two\n[intercept.gate]\n",
  );
  writeFileSync(path("xcopy.bash"), bashCompletion(SPECS));
  writeFileSync(path("xcopy.zsh"), zshCompletion(SPECS));
  writeFileSync(path("xcopy.fish"), fishCompletion(SPECS));
  mkdirSync(SOCKETS, { recursive: true });
  listener = socket();
});

afterAll(() => {
  listener.stop(true);
  for (const made of [SOCKETS, DIRECTORY]) rmSync(made, { recursive: true, force: true });
});

/** Types each line with M-*, the key for "all candidates", into a shell; returns the words that it then has, for each line. */
async function typed(name: string, shell: string, environment: Record<string, string>): Promise<string[][]> {
  const out = path(`${name}.out`);
  const entered = () => (existsSync(out) ? readFileSync(out, "utf8").split("\n").slice(0, -1) : []);
  const terminal = Bun.spawn(["script", "-qec", shell, "/dev/null"], {
    stdin: "pipe",
    stdout: "ignore",
    cwd: path("work"),
    env: { ...process.env, TERM: "xterm", COLUMNS: "200", OUT: out, ...environment },
  });
  try {
    await until("the shell reads", () => entered().length === 1);
    for (const [index, [before, word]] of TABLE.entries()) {
      terminal.stdin.write(`xcopy ${[before, word].join(" ").trimStart()}\x1b*\n`);
      terminal.stdin.flush();
      await until(`"${before} ${word}" is entered`, () => entered().length === index + 2);
    }
    terminal.stdin.write("exit\n");
    terminal.stdin.flush();
    await terminal.exited;
  } finally {
    terminal.kill();
  }
  return entered()
    .slice(1)
    .map((line) => line.split("\x1f").slice(0, -1));
}

/** The words behind those that were typed before. */
function candidatesOf(words: string[], [before, word]: (typeof TABLE)[number]): string[] {
  const typedBefore = before.match(/'[^']*'|[^ ]+/g)?.length ?? 0;
  const found = words.slice(typedBefore);
  return found.length === 1 && found[0] === word ? [] : found;
}

function expectAll(found: string[][]): void {
  // Shells differ in whether they write the option of --option=value again, and the slash of a directory.
  const bare = (candidate: string) => candidate.replace(/^--[a-z-]+=|\/$/g, "");
  const shown = (candidates: string[][]) =>
    TABLE.map(
      ([before, word], index) => `${before} ${word} -> ${candidates[index]!.map(bare).toSorted().join(" ")}`,
    );
  expect(shown(found)).toEqual(shown(TABLE.map(([, , candidates]) => candidates)));
}

async function inBash(name: string, first: string): Promise<void> {
  const rc = `${first}\n. ${path("xcopy.bash")}\n${RECORDER}\nbind 'set mark-directories on'\nxcopy ready\n`;
  writeFileSync(path(`${name}.rc`), rc);
  const words = await typed(name, `bash --noprofile --rcfile ${path(`${name}.rc`)} -i`, {});
  expectAll(words.map((one, index) => candidatesOf(one, TABLE[index]!)));
}

describe("every command line is completed to the same", () => {
  test("in bash", () => inBash("bash", ""));

  test("in bash with the package bash-completion", () =>
    inBash("packaged", ". /usr/share/bash-completion/bash_completion"));

  test("in zsh", async () => {
    const rc = `autoload -U compinit; compinit -u -D
. ${path("xcopy.zsh")}
zle -C all-matches complete-word _generic
bindkey '^[*' all-matches
zstyle ':completion:all-matches::::' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
${RECORDER}
xcopy ready
`;
    writeFileSync(path(".zshrc"), rc);
    const words = await typed("zsh", "zsh -d -i", { ZDOTDIR: DIRECTORY });
    expectAll(words.map((one, index) => candidatesOf(one, TABLE[index]!)));
  });

  test("in fish", () => {
    const quoted = (text: string) => `'${text.replaceAll("'", "\\'")}'`;
    const asked = TABLE.map(
      ([before, word]) => `complete -C ${quoted(`xcopy ${[before, word].join(" ").trimStart()}`)}; echo`,
    );
    writeFileSync(
      path("ask.fish"),
      [`source ${path("xcopy.fish")}`, ...asked.map((ask) => `${ask} ==`)].join("\n"),
    );
    const { stdout, stderr } = Bun.spawnSync(["fish", "--no-config", path("ask.fish")], {
      cwd: path("work"),
      env: { ...process.env, HOME: DIRECTORY },
    });
    expect(stderr.toString()).toBe("");
    const answers = stdout.toString().split("==\n").slice(0, -1);
    expectAll(
      answers.map((text) =>
        text
          .split("\n")
          .slice(0, -1)
          .map((line) => line.split("\t")[0]!),
      ),
    );
  });
});

test("each shell takes its script without a complaint", () => {
  for (const [shell, file] of [
    ["bash", "xcopy.bash"],
    ["zsh", "xcopy.zsh"],
    ["fish", "xcopy.fish"],
  ] as const) {
    const { stderr, exitCode } = Bun.spawnSync([shell, "-n", path(file)]);
    expect([shell, stderr.toString(), exitCode]).toEqual([shell, "", 0]);
  }
  expect(Bun.spawnSync(["shellcheck", path("xcopy.bash")]).stdout.toString()).toBe("");
});
