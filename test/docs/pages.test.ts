/** What the pages for users say: commands that parse, links that lead somewhere, everything that they have to name. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { groupsOf } from "../../src/command-line/command.ts";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { fromIntercept, fromTcpcopy } from "../../src/command-line/reading/tcpcopy.ts";
import { parseCopy } from "../../src/copy/options.ts";
import { parseIntercept } from "../../src/intercept/options.ts";
import { parseRecord } from "../../src/record/options.ts";
import { DEVELOPERS, EXCEPTIONS } from "./exceptions.ts";
import { type Page, ROOT, readPages, wordOf } from "./pages.ts";
import { OPTIONS, renderOptions, SPECS } from "./reference.ts";
import { commandsOf, xcopyLines } from "./words.ts";

const all = readPages();
const pages = all.filter(({ path }) => !DEVELOPERS.includes(path));
const blocks = pages.flatMap((page) => page.blocks);
const commands = blocks.filter(({ language }) => language === "sh");

/** What is wrong with a command line of xcopy; null: nothing. */
function mistakeOf([name = "", ...words]: string[]): string | null {
  const spec = SPECS.get(name);
  if (!spec) return ["--help", "--version"].includes(name) ? null : `no command ${name}`;
  if (words.includes("--help") || words.includes("-h")) return null;
  try {
    const args = parseArguments(spec, words);
    if (args.has("config")) return null; // The file has the rest.
    if (name === "copy") parseCopy(args);
    if (name === "intercept") parseIntercept(args);
    if (name === "record") parseRecord(args);
    return null;
  } catch (error) {
    const { message } = error as Error;
    return message.includes("ENOENT") ? null : message; // A file that a page makes.
  }
}

test("every block of commands is run, or says why not", () => {
  const isRun = /^(production|target|client|assistant|booted=.*)$/;
  const silent = commands.filter(({ words }) => !isRun.test(words[0] ?? "") && !/^not=/.test(words[0] ?? ""));
  expect(silent.map(({ place }) => place)).toEqual([]);
  const given = new Set(commands.flatMap((block) => wordOf(block, "not") ?? []));
  expect([...given].sort()).toEqual(Object.keys(EXCEPTIONS).sort());
});

test("commands stand in blocks of commands", () => {
  const command =
    /^\s*(\$ |# )?(sudo |XCOPY\w*=\S+ )?(xcopy|systemctl|journalctl|apt|apt-get|dpkg|kubectl|docker|bin\/\w+|ip|nft|sysctl) [\w-]/;
  const elsewhere = pages.flatMap(({ path, text, blocks }) => {
    const hidden = blocks.filter(({ language, words }) => language !== "sh" && !words.includes("output"));
    const indented = text
      .replaceAll(/^```[\s\S]*?^```/gm, "")
      .split("\n")
      .filter((line) => /^ {4}/.test(line));
    const lines = [...hidden.flatMap((block) => block.text.split("\n")), ...indented];
    return lines.filter((line) => command.test(line)).map((line) => `${path}: ${line}`);
  });
  expect(elsewhere).toEqual([]);
});

test("every command line of xcopy has options and values that there are", () => {
  const wrong = commands.flatMap(({ place, text, words }) =>
    words.includes("exit=2")
      ? []
      : xcopyLines(text).flatMap((line) => {
          const mistake = mistakeOf(line);
          return mistake === null ? [] : [`${place}: xcopy ${line.join(" ")}: ${mistake}`];
        }),
  );
  expect(wrong).toEqual([]);
  expect(commands.flatMap(({ text }) => xcopyLines(text)).length).toBeGreaterThan(1);
});

test("command lines of tcpcopy and intercept 1.x are taken", () => {
  const lines = commands
    .filter((block) => wordOf(block, "not") === "tcpcopy")
    .flatMap(({ text }) => commandsOf(text));
  expect(lines.map(([name]) => name)).toEqual(["tcpcopy", "intercept"]);
  for (const [name, ...words] of lines) {
    const ours =
      name === "tcpcopy" ? ["copy", ...fromTcpcopy(COPY, words)] : ["intercept", ...fromIntercept(words)];
    expect(mistakeOf(ours)).toBeNull();
  }
});

/** The name by which a heading can be linked, as GitHub makes it. */
function anchorOf(heading: string): string {
  const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/[`*]/g, "");
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");
}

function anchorsOf(text: string): Set<string> {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "");
  const seen = new Map<string, number>();
  const headings = [...prose.matchAll(/^#+ +(.*?) *$/gm)].map(([, heading]) => {
    const anchor = anchorOf(heading!);
    const before = seen.get(anchor) ?? 0;
    seen.set(anchor, before + 1);
    return before === 0 ? anchor : `${anchor}-${before}`;
  });
  return new Set([
    ...headings,
    ...[...prose.matchAll(/<a (?:id|name)="([^"]+)">/g)].map(([, name]) => name!),
  ]);
}

/** Links and pictures of a page, with what they lead to. */
function linksOf({ path, text }: Page): { link: string; to: string; anchor: string | undefined }[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "").replaceAll(/`[^`\n]*`/g, "``");
  const links = [...prose.matchAll(/\]\(([^)\s]+)\)|(?:src|href|srcset)="([^"]+)"/g)].map(
    ([, one, two]) => one ?? two!,
  );
  return links
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [file = "", anchor] = link.split("#");
      return { link, to: file === "" ? path : normalize(join(dirname(path), file)), anchor };
    });
}

test("links lead to pages, files and headings that there are", () => {
  const texts = new Map(all.map(({ path, text }) => [path, text]));
  const broken = all.flatMap((page) =>
    linksOf(page)
      .filter(({ to, anchor }) => {
        if (!existsSync(join(ROOT, to))) return true;
        if (anchor === undefined || !to.endsWith(".md")) return false;
        const text = texts.get(to) ?? readFileSync(join(ROOT, to), "utf8");
        return !anchorsOf(text).has(anchor);
      })
      .map(({ link }) => `${page.path}: ${link}`),
  );
  expect(broken).toEqual([]);
});

test("every page can be reached from README.md and docs/README.md", () => {
  const reached = new Set<string>();
  const follow = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    const page = all.find((other) => other.path === path);
    for (const { to } of page ? linksOf(page) : []) {
      const isDirectory = existsSync(join(ROOT, to)) && statSync(join(ROOT, to)).isDirectory();
      follow(isDirectory ? join(to, "README.md") : to);
    }
  };
  for (const begin of ["README.md", "docs/README.md"]) follow(begin);
  expect(all.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
});

test("the page of options is what the commands have", () => {
  // Another text: node_modules/.bin/bun test/docs/reference.ts writes it.
  expect(readFileSync(join(ROOT, OPTIONS), "utf8")).toBe(renderOptions());
});

test("units that are named are in the packages", () => {
  const named = new Set(pages.flatMap(({ text }) => text.match(/\bxcopy-[a-z]+@/g) ?? []));
  expect([...named].sort()).toEqual(["xcopy-copy@", "xcopy-intercept@"]);
  const units = [...named].map((name) => join(ROOT, "packaging/systemd", `${name}.service`));
  expect(units.filter((unit) => !existsSync(unit))).toEqual([]);
});

/** Options of other programs that pages name in a sentence. */
const FOREIGN = [
  // bin/release, MySQL, setpriv, timeout, docker, and what tcpcopy is configured with before it is built.
  ...[
    "base-url",
    "skip-ssl",
    "skip-grant-tables",
    "inh-caps",
    "ambient-caps",
    "preserve-status",
    "security-opt",
  ],
  ...["offline", "pcap-capture", "pcap-send", "udp", "million", "set-protocol-module"],
];

test("options that sentences and tables name are there", () => {
  const known = new Set(
    [...SPECS.values()].flatMap((spec) =>
      Object.values(groupsOf(spec))
        .flat()
        .map(({ name }) => name),
    ),
  );
  const unknown = pages.flatMap(({ path, text }) => {
    // What stands in front in these tables are options of the other tool.
    const own = /from-(tcpcopy|goreplay)/.test(path) ? text.replaceAll(/^\| [^|]*\|/gm, "") : text;
    const prose = own.replaceAll(/^```[\s\S]*?^```/gm, "");
    const names = [...prose.matchAll(/`[^`\n]*`/g)].flatMap(
      ([code]) => code.match(/(?<![\w-])--[a-z][a-z-]*[a-z]\b(?!-)/g) ?? [],
    );
    return names
      .map((name) => name.slice(2))
      .filter((name) => !known.has(name) && !known.has(name.replace(/^no-/, "")) && !FOREIGN.includes(name))
      .map((name) => `${path}: --${name}`);
  });
  expect([...new Set(unknown)]).toEqual([]);
});
