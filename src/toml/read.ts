/** Reads TOML 1.0 into tables whose keys and values know where they stand. It knows nothing of what they mean. */
import { type AST, ParseError, parseTOML } from "toml-eslint-parser";

/** A place in a text; lines and columns (in UTF-16 units, as editors count) begin with 1. */
export interface Position {
  line: number;
  column: number;
}

export type Value = { at: Position } & (
  | { kind: "text"; text: string }
  /** In decimal, whatever way it is written. */
  | { kind: "number"; text: string }
  | { kind: "boolean"; is: boolean }
  /** As written. */
  | { kind: "date"; text: string }
  | { kind: "list"; values: Value[] }
  | Table
);

export interface Table {
  kind: "table";
  at: Position;
  entries: Map<string, Entry>;
}

export interface Entry {
  /** Where its key stands. */
  at: Position;
  value: Value;
}

/** What is wrong with a text that is no TOML. */
export class NotToml extends Error {
  constructor(
    readonly at: Position,
    cause: string,
  ) {
    super(cause);
  }
}

function positionOf({ loc }: AST.HasLocs): Position {
  return { line: loc.start.line, column: loc.start.column + 1 };
}

const nameOf = (key: AST.TOMLBare | AST.TOMLQuoted) => (key.type === "TOMLBare" ? key.name : key.value);

function numberOf(value: AST.TOMLNumberValue): string {
  return value.kind === "integer" ? value.bigint.toString() : String(value.value);
}

function readValue(node: AST.TOMLContentNode): Value {
  const at = positionOf(node);
  if (node.type === "TOMLArray") return { kind: "list", at, values: node.elements.map(readValue) };
  if (node.type === "TOMLInlineTable") {
    const table: Table = { kind: "table", at, entries: new Map() };
    for (const pair of node.body) insert(table, pair);
    return table;
  }
  if (node.kind === "string") return { kind: "text", at, text: node.value };
  if (node.kind === "boolean") return { kind: "boolean", at, is: node.value };
  if (node.kind === "integer" || node.kind === "float") return { kind: "number", at, text: numberOf(node) };
  return { kind: "date", at, text: node.datetime };
}

/** The table below this key, made if it is not there; of a list of tables the last. */
function tableBelow(table: Table, key: AST.TOMLBare | AST.TOMLQuoted): Table {
  const at = positionOf(key);
  const found = table.entries.get(nameOf(key))?.value;
  const last = found?.kind === "list" ? found.values.at(-1) : found;
  if (last?.kind === "table") return last;
  const made: Table = { kind: "table", at, entries: new Map() };
  table.entries.set(nameOf(key), { at, value: made });
  return made;
}

function insert(table: Table, { key, value }: AST.TOMLKeyValue): void {
  const last = key.keys.at(-1)!;
  const into = key.keys.slice(0, -1).reduce(tableBelow, table);
  into.entries.set(nameOf(last), { at: positionOf(last), value: readValue(value) });
}

/** The table of a heading, `[a.b]`, or a new one of the list `[[a.b]]`. */
function openTable(top: Table, { key, kind }: AST.TOMLTable): Table {
  if (kind === "standard") return key.keys.reduce(tableBelow, top);
  const last = key.keys.at(-1)!;
  const above = key.keys.slice(0, -1).reduce(tableBelow, top);
  const at = positionOf(last);
  const made: Table = { kind: "table", at, entries: new Map() };
  const list = above.entries.get(nameOf(last))?.value;
  if (list?.kind === "list") list.values.push(made);
  else above.entries.set(nameOf(last), { at, value: { kind: "list", at, values: [made] } });
  return made;
}

/** What the parser says of mistakes that it finds at the next line only, and in words of its own. */
const AT_LINE_END = /^(Unspecified values|Unterminated table-key)/i;
const WORDS: [said: RegExp, cause: string][] = [
  [/^Unspecified values are invalid/i, "there is no value"],
  [/^Defining a key multiple times is invalid/i, "this key is there already"],
  [/^Unterminated table-key/i, "this heading has no end"],
];

/** The error of the parser, at the place where the mistake is, in a user's words. */
function notToml({ lineNumber, column, message }: ParseError, text: string): NotToml {
  const cause = WORDS.find(([said]) => said.test(message))?.[1] ?? message;
  if (column > 0 || lineNumber < 2 || !AT_LINE_END.test(message))
    return new NotToml({ line: lineNumber, column: column + 1 }, cause);
  const before = text.split("\n")[lineNumber - 2]!.trimEnd();
  return new NotToml({ line: lineNumber - 1, column: before.length + 1 }, cause);
}

/** The tables of a text. Throws NotToml at the first place that is no TOML, or has a key that is there already. */
export function readToml(text: string): Table {
  const top: Table = { kind: "table", at: { line: 1, column: 1 }, entries: new Map() };
  try {
    for (const node of parseTOML(text, { tomlVersion: "1.0" }).body[0].body) {
      if (node.type === "TOMLKeyValue") {
        insert(top, node);
        continue;
      }
      const table = openTable(top, node);
      for (const pair of node.body) insert(table, pair);
    }
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    throw notToml(error, text);
  }
  return top;
}
