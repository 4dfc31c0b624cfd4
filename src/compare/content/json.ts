/** Differences of two documents of JSON, by path. Bounded in depth and size: what is beyond is one difference. */
import { isLikelyId } from "../looks/ids.ts";
import { type Contrast, contrastOf, type Nature } from "../looks/nature.ts";
import { advance, type IgnoreRule, type Progress, startOf } from "./ignore.ts";

/** A difference of a content: where, and what the two sides have there (of what only one has, "" is the other). */
export interface ContentDifference extends Contrast {
  where: string;
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const MOST_DEPTH = 64;
/** Brackets, commas and colons of a document: reading more takes longer than some ms. */
const MOST_TOKENS = 20_000;
const MOST_LENGTH = 512 * 1024;
const MOST_NODES = 30_000;
const MOST_DIFFERENCES = 50;
const MOST_WHERE = 160;
const MOST_VALUE = 2000;

/** Whether reading a document takes a bounded time: its depth and its number of values. */
function isReadable(text: string): boolean {
  if (text.length > MOST_LENGTH) return false;
  let depth = 0;
  let tokens = 0;
  let isInString = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (isInString) {
      if (code === 0x5c) index++;
      else if (code === 0x22) isInString = false;
    } else if (code === 0x22) isInString = true;
    else if (code === 0x7b || code === 0x5b) {
      tokens++;
      if (++depth > MOST_DEPTH) return false;
    } else if (code === 0x7d || code === 0x5d) depth--;
    else if (code === 0x2c || code === 0x3a) tokens++;
    if (tokens > MOST_TOKENS) return false;
  }
  return true;
}

/** The document; undefined if it is none, or too large to be read in some ms. Numbers that a double does not hold stay text. */
export function readJson(text: string): Json | undefined {
  if (!/^\s*[[{"\dtfn-]/.test(text.slice(0, 100)) || !isReadable(text)) return undefined;
  try {
    if (!/\d{16}/.test(text)) return JSON.parse(text);
    const exact = (_: string, value: Json, context?: { source?: string }): Json =>
      typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d{16,}$/.test(context?.source ?? "")
        ? context!.source!
        : value;
    return JSON.parse(text, exact as (name: string, value: Json) => Json);
  } catch {
    return undefined;
  }
}

function typeOf(value: Json): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function textOf(value: Json | undefined): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value.slice(0, MOST_VALUE);
  if (typeof value !== "object" || value === null) return String(value);
  const list = Array.isArray(value);
  const size = list ? value.length : Object.keys(value).length;
  return size === 0 ? (list ? "[]" : "{}") : list ? `[${size} elements]` : `{${size} fields}`;
}

/** `$.a.b`, `$.a["b c"]`; a name that looks like an id is `{id}`. */
function below(where: string, name: string): string {
  if (isLikelyId(name)) return `${where}.{id}`;
  return /^[\w$-]+$/.test(name) ? `${where}.${name}` : `${where}[${JSON.stringify(name.slice(0, 100))}]`;
}

class Walk {
  readonly found = new Map<string, ContentDifference>();
  private nodes = 0;

  constructor(private readonly ignore: readonly IgnoreRule[]) {}

  get isFull(): boolean {
    return this.nodes > MOST_NODES || this.found.size >= MOST_DIFFERENCES;
  }

  /** One for each path and request; a value that is no id, or is missing, tells more than one that is. */
  private add(where: string, contrast: Contrast): void {
    const short = where.length <= MOST_WHERE ? where : `${where.slice(0, MOST_WHERE)}...`;
    const before = this.found.get(short);
    if (before === undefined || rank(contrast.nature) > rank(before.nature))
      this.found.set(short, { where: short, ...contrast });
  }

  private shape(where: string, what: string, production: Json | undefined, target: Json | undefined): void {
    const [one, other] = [textOf(production), textOf(target)];
    this.add(`${where} (${what})`, { nature: "shape", production: one, target: other });
  }

  values(where: string, production: Json, target: Json, progress: Progress): void {
    this.nodes++;
    if (production === target || this.isFull) return;
    const type = typeOf(production);
    if (type !== typeOf(target)) this.shape(where, "type", production, target);
    else if (Array.isArray(production)) this.arrays(where, production, target as Json[], progress);
    else if (type === "object") this.objects(where, production as object, target as object, progress);
    else if (type === "boolean")
      this.add(where, { nature: "text", production: String(production), target: String(target) });
    else this.add(where, contrastOf(String(production), String(target)));
  }

  private objects(where: string, production: object, target: object, progress: Progress): void {
    const [ours, theirs] = [production as Record<string, Json>, target as Record<string, Json>];
    const lost: string[] = [];
    for (const name of Object.keys(ours)) {
      if (this.isFull) return;
      const isThere = Object.hasOwn(theirs, name);
      if (isThere && ours[name] === theirs[name]) continue;
      const next = advance(this.ignore, progress, name);
      if (next === null) continue;
      if (isThere) this.values(below(where, name), ours[name]!, theirs[name]!, next);
      else lost.push(name);
    }
    const added = Object.keys(theirs).filter(
      (name) => !Object.hasOwn(ours, name) && advance(this.ignore, progress, name) !== null,
    );
    this.nodes += added.length;
    // Ids as names: what has another id is the same thing.
    const [oldIds, newIds] = [lost.filter(isLikelyId), added.filter(isLikelyId)];
    const renamed = Math.min(oldIds.length, newIds.length);
    for (let index = 0; index < renamed && !this.isFull; index++) {
      const [from, to] = [oldIds[index]!, newIds[index]!];
      this.add(`${where}.{id} (name)`, contrastOf(from, to));
      const next = advance(this.ignore, progress, from)!;
      this.values(below(where, from), ours[from]!, theirs[to]!, next);
    }
    const paired = new Set([...oldIds.slice(0, renamed), ...newIds.slice(0, renamed)]);
    for (const name of this.isFull ? [] : lost)
      if (!paired.has(name)) this.shape(below(where, name), "missing", ours[name], undefined);
    for (const name of this.isFull ? [] : added)
      if (!paired.has(name)) this.shape(below(where, name), "added", undefined, theirs[name]);
  }

  private arrays(where: string, production: Json[], target: Json[], progress: Progress): void {
    if (this.isEqual(production, target)) return;
    if (this.ignore.length > 0 && this.isIgnored(progress, production, target)) return;
    const [ours, theirs] = [this.keysOf(production), this.keysOf(target)];
    // What is alike at both ends is where something was put in or taken out.
    let start = 0;
    let ends = 0;
    const shorter = Math.min(ours.length, theirs.length);
    if (ours.length !== theirs.length) {
      this.shape(where, "length", production, target);
      while (start < shorter && ours[start] === theirs[start]) start++;
      while (ends < shorter - start && ours.at(-1 - ends) === theirs.at(-1 - ends)) ends++;
    } else if (ours.some((key, index) => key !== theirs[index]) && isSameBag(ours, theirs)) {
      this.shape(where, "order", production, target);
      return;
    }
    for (let index = start; index < shorter - ends && !this.isFull; index++) {
      const next = advance(this.ignore, progress, String(index));
      if (next !== null) this.values(`${where}[*]`, production[index]!, target[index]!, next);
    }
  }

  private isEqual(one: Json, other: Json): boolean {
    this.nodes++;
    if (one === other) return true;
    if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
    if (Array.isArray(one) || Array.isArray(other)) {
      if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
      return one.every((value, index) => this.isEqual(value, other[index]!));
    }
    const names = Object.keys(one);
    if (names.length !== Object.keys(other).length) return false;
    return names.every((name) => Object.hasOwn(other, name) && this.isEqual(one[name]!, other[name]!));
  }

  private keysOf(values: Json[]): string[] {
    return values.map((value) => this.keyOf(value));
  }

  /** A text that is equal where values are, whatever the order of their fields; "" once it took too long. */
  private keyOf(value: Json): string {
    this.nodes++;
    if (this.isFull) return "";
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    if (Array.isArray(value)) return `[${this.keysOf(value).join()}]`;
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${this.keyOf(value[name]!)}`).join()}}`;
  }

  /** Whether all elements are ignored (`$.items[*]`): then their number does not matter either. */
  private isIgnored(progress: Progress, production: Json[], target: Json[]): boolean {
    return advance(this.ignore, progress, String(Math.max(production.length, target.length))) === null;
  }
}

function rank(nature: Nature): number {
  return nature === "shape" ? 4 : nature === "text" ? 3 : nature === "number" ? 2 : nature === "id" ? 1 : 0;
}

function isSameBag(ours: string[], theirs: string[]): boolean {
  const bag = new Map<string, number>();
  for (const key of ours) bag.set(key, (bag.get(key) ?? 0) + 1);
  return theirs.every((key) => {
    const left = bag.get(key) ?? 0;
    bag.set(key, left - 1);
    return left > 0;
  });
}

/**
 * The differences of two documents; of those with more than 50, some. Other order of fields and other white space is none. Null: they are
 * too large for it, and none was found.
 */
export function differencesOfJson(
  production: Json,
  target: Json,
  ignore: readonly IgnoreRule[] = [],
): ContentDifference[] | null {
  const walk = new Walk(ignore);
  walk.values("$", production, target, startOf(ignore));
  return walk.isFull && walk.found.size === 0 ? null : [...walk.found.values()];
}
