/** The pages for users: README.md and docs/, with their fenced blocks and what these say about how they are checked. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");

export interface Block {
  /** "docs/quick-start.md:12", the line of the opening fence. */
  place: string;
  /** The first word behind the fence, which is what a renderer sees: sh, text, toml ... */
  language: string;
  /** The other words behind the fence, which no renderer shows. */
  words: string[];
  text: string;
}

export interface Page {
  /** From the root of the project: "docs/quick-start.md". */
  path: string;
  text: string;
  blocks: Block[];
  /** What its commands need in the lab, from a comment `<!-- lab: web mysql -->`. */
  needs: string[];
}

const FENCE = /^( *)(```+)(.*)$/;

/** The fenced blocks of a page, in its order. */
export function blocksOf(path: string, text: string): Block[] {
  const blocks: Block[] = [];
  let open: { fence: string; indent: number; lines: string[]; block: Block } | null = null;
  for (const [index, line] of text.split("\n").entries()) {
    const [, indent = "", fence = "", info = ""] = FENCE.exec(line) ?? [];
    if (open) {
      if (fence.startsWith(open.fence) && info.trim() === "") {
        open.block.text = open.lines.join("\n");
        blocks.push(open.block);
        open = null;
      } else open.lines.push(line.slice(Math.min(open.indent, line.length - line.trimStart().length)));
    } else if (fence) {
      const [language = "", ...words] = info.trim().split(/\s+/);
      const block = { place: `${path}:${index + 1}`, language, words, text: "" };
      open = { fence, indent: indent.length, lines: [], block };
    }
  }
  if (open) throw new Error(`${open.block.place}: the block has no end`);
  return blocks;
}

/** All pages, README.md first. */
export function readPages(): Page[] {
  const docs = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => `docs/${path}`)
    .sort();
  return ["README.md", ...docs].map((path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    const needs = /<!-- lab: ([a-z ]+) -->/.exec(text)?.[1]?.split(" ") ?? [];
    return { path, text, blocks: blocksOf(path, text), needs };
  });
}

/** The value of a word such as `until=copied`. */
export function wordOf(block: Block, name: string): string | null {
  const word = block.words.find((text) => text.startsWith(`${name}=`));
  return word === undefined ? null : word.slice(name.length + 1);
}
