/** Reads what `nft -j list ruleset` prints (libnftables-json(5)), with the texts of `nft -a list ruleset`. */
import { anyOf, between, exactly, FIELDS, fieldIs, type Meant, UNKNOWN, within } from "./match.ts";
import type { Action, Condition, ListedChain, ListedRule } from "./ruleset.ts";

type Json = null | string | number | boolean | Json[] | { [name: string]: Json };
type Entry = { [name: string]: Json };

/** Expressions that change nothing of what becomes of a packet. */
const WITHOUT_EFFECT = new Set(["counter", "log", "mangle", "notrack", "meta", "flow", "xt_comment"]);

/** The texts of rules, and the devices of chains, by where they are. */
interface Texts {
  rules: Map<string, string>;
  devices: Map<string, string[]>;
}

const keyOf = (family: string, table: string, name: string | number): string => `${family} ${table} ${name}`;

/** Reads what `nft -a list ruleset` prints. Handles of rules are unique within their table. */
export function readTexts(text: string): Texts {
  const texts: Texts = { rules: new Map(), devices: new Map() };
  let [table, chain] = ["", ""];
  for (const line of text.split("\n")) {
    const opened = /^\s*(table|chain) (.+?) \{/.exec(line);
    if (opened?.[1] === "table") table = opened[2]!;
    else if (opened) chain = opened[2]!;
    const devices = /^\s*type .* hook \S+ devices? (?:= )?(\{.*?\}|\S+) priority/.exec(line)?.[1];
    if (devices) texts.devices.set(`${table} ${chain}`, devices.match(/[^\s{},"=]+/g) ?? []);
    const rule = /^\s*(.*?) # handle (\d+)$/.exec(line);
    if (rule && !opened) texts.rules.set(`${table} ${rule[2]}`, rule[1]!);
  }
  return texts;
}

/** The chains of a ruleset, those without a hook too. Throws a SyntaxError if it is not JSON. */
export function readNft(json: string, texts: Texts): ListedChain[] {
  const entries = ((JSON.parse(json) as { nftables?: Entry[] }).nftables ?? []) as Entry[];
  const of = (kind: string) => entries.flatMap((entry) => (entry[kind] ? [entry[kind] as Entry] : []));
  const sets = new Map(
    [...of("set"), ...of("map")].map((set) => [placeIn(set, set.name), (set.elem ?? []) as Json[]]),
  );
  const chains = new Map(
    of("chain").map((chain) => {
      const place = placeIn(chain, chain.name);
      return [place, chainOf(chain, texts.devices.get(place) ?? [])];
    }),
  );
  for (const rule of of("rule")) {
    const set = (name: string) => sets.get(placeIn(rule, name)) ?? null;
    const text = texts.rules.get(placeIn(rule, rule.handle)) ?? "";
    chains.get(placeIn(rule, rule.chain))?.rules.push(...ruleOf(rule, text, set));
  }
  return [...chains.values()];
}

const placeIn = ({ family, table }: Entry, name: Json | undefined): string =>
  keyOf(String(family), String(table), String(name));

function chainOf(
  { family, table, name, hook, type, prio, policy, dev }: Entry,
  devices: string[],
): ListedChain {
  return {
    tool: "nft",
    family: String(family),
    table: String(table),
    name: String(name),
    hook: typeof hook === "string" ? hook : null,
    type: String(type ?? "filter"),
    priority: Number(prio ?? 0),
    policy: policy === "drop" ? "drop" : "accept",
    devices: dev === undefined ? devices : [dev].flat().map(String),
    rules: [],
  };
}

/** A rule of nft: a verdict map makes several of it, one for each element. */
function ruleOf(rule: Entry, text: string, set: (name: string) => Json[] | null): ListedRule[] {
  const conditions: Condition[] = [];
  const made = { handle: Number(rule.handle), text, ports: portsOf(rule.expr ?? null) };
  for (const expression of (rule.expr ?? []) as Entry[]) {
    const [kind, value] = Object.entries(expression)[0] ?? ["", null];
    if (kind === "match") conditions.push(conditionOf(value as Entry, set));
    else if (kind === "vmap") return verdictsOf(value as Entry, conditions, made, set);
    else if (kind === "limit" || kind === "quota" || kind === "connlimit") conditions.push(UNKNOWN);
    else {
      const action = actionOf(kind, value);
      if (action.kind === "unknown" && WITHOUT_EFFECT.has(kind)) continue;
      if (action.kind === "unknown" && kind === "xt") conditions.push(UNKNOWN);
      else return [{ ...made, conditions, action }];
    }
  }
  return [{ ...made, conditions, action: { kind: "continue" } }];
}

function verdictsOf(
  { key, data }: Entry,
  conditions: Condition[],
  rule: Omit<ListedRule, "conditions" | "action">,
  set: (name: string) => Json[] | null,
): ListedRule[] {
  const elements = typeof data === "string" ? set(data.slice(1)) : ((data as Entry | null)?.set as Json[]);
  const field = FIELDS[nameOf(key ?? null)];
  return (elements ?? [null]).map((element) => {
    const [value, verdict] = Array.isArray(element) ? element : [null, null];
    const [kind, to] = Object.entries((verdict ?? {}) as Entry)[0] ?? ["", null];
    const meant = fieldIs(field, meantBy(value ?? null, set));
    return { ...rule, conditions: [...conditions, meant], action: actionOf(kind, to) };
  });
}

function actionOf(kind: string, value: Json): Action {
  const entry = (value !== null && typeof value === "object" ? value : {}) as Entry;
  if (kind === "accept" || kind === "return" || kind === "continue") return { kind };
  if (kind === "drop" || kind === "reject") return { kind: "drop" };
  if (kind === "jump" || kind === "goto") return { kind, chain: String(entry.target) };
  const to = {
    address: typeof entry.addr === "string" ? entry.addr : null,
    port: typeof entry.port === "number" ? entry.port : null,
  };
  if (kind === "dnat" || kind === "redirect")
    return { kind: "translate", to: { kind: "destination", ...to } };
  if (kind === "snat" || kind === "masquerade") return { kind: "translate", to: { kind: "source", ...to } };
  return { kind: "unknown" };
}

/** "tcp dport" of the left side of a match. */
function nameOf(left: Json): string {
  if (left === null || typeof left !== "object" || Array.isArray(left)) return "";
  const [kind, value] = Object.entries(left)[0] ?? ["", null];
  const entry = (value !== null && typeof value === "object" ? value : {}) as Entry;
  if (kind === "payload") return `${entry.protocol} ${entry.field}`;
  return kind === "meta" || kind === "ct" ? `${kind} ${entry.key}` : "";
}

function conditionOf({ op, left, right }: Entry, set: (name: string) => Json[] | null): Condition {
  if (op !== "==" && op !== "!=" && op !== "in") return UNKNOWN;
  return fieldIs(FIELDS[nameOf(left ?? null)], meantBy(right ?? null, set), op === "!=");
}

function meantBy(right: Json, set: (name: string) => Json[] | null): Meant {
  if (typeof right === "string" && right.startsWith("@")) {
    const elements = set(right.slice(1));
    return elements ? anyOf(elements.map((element) => meantBy(element, set))) : () => null;
  }
  if (typeof right === "string" || typeof right === "number")
    return right === "*" ? () => true : exactly(right);
  if (Array.isArray(right)) return anyOf(right.map((element) => meantBy(element, set)));
  if (right === null || typeof right === "boolean") return () => null;
  if (right.set) return anyOf((right.set as Json[]).map((element) => meantBy(element, set)));
  if (right.elem) return meantBy((right.elem as Entry).val ?? null, set);
  const prefix = right.prefix as Entry | undefined;
  if (prefix) return within(String(prefix.addr), Number(prefix.len));
  const range = right.range as [string | number, string | number] | undefined;
  return range ? between(...range) : () => null;
}

/** The destination ports that a rule names. */
function portsOf(expressions: Json): string | null {
  for (const { match } of (expressions ?? []) as { match?: Entry }[]) {
    if (!match || !/^(tcp|udp|th) dport$/.test(nameOf(match.left ?? null)) || match.op === "!=") continue;
    const written = (value: Json): string => {
      if (value === null || typeof value !== "object") return String(value);
      const entry = value as Entry;
      if (entry.set) return (entry.set as Json[]).map(written).join(", ");
      return entry.range ? (entry.range as Json[]).join("-") : "";
    };
    return written(match.right ?? null);
  }
  return null;
}
