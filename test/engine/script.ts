/**
 * A notation for TCP conversations, close to packetdrill's: what is captured of clients, what the engine must send to the
 * target, what the target answers. One event a line, `//` begins a comment:
 *
 *     --turnTimeout=2s                              an option of the engine (EngineConfig), or path_mtu
 *     +0   c> S 0:0(0) <mss 1460,nop,wscale 7>      captured from client 1 (c>2: from client 2)
 *     +0    > S 0:0(0) <...>                        the engine must send this next; <...>: whatever the options are
 *     +.02  < S. 0:0(0) ack 1 win 8000 <mss 1000>   the target sends, on the latest connection (<1: on the first)
 *     +0    < [1:1001(1000)] icmp unreachable frag_needed mtu 1280
 *     +1    = turnsSent 1, turnsAnswered 0          counters of the engine
 *
 * Times are seconds since the event before; `+8~9` is a range. What the engine sends without a line that expects it is an
 * error. Inputs that follow each other at +0 are taken together, as one batch of captured packets. Sequence and
 * acknowledgement numbers count from the initial ones, as in packetdrill, window sizes are those of the header. Flags are
 * letters of FSRP.UEW. In expected options `*` stands for any number. After the segment may come:
 *
 *     ack N, win N      expected only where they are given, but for the acknowledgement number of segments with ACK
 *     data N            the payload is what the client sent from N on (without: the same numbers as the segment's)
 *     think 15ms        time the client took since it acknowledged the response before
 *     far               it acknowledges far more, or less, than the client's last pure ACK
 *     new               a new connection from the same address and port: its numbers begin anew
 *
 * Connections that the engine never opened are numbered from 9 on.
 */

export interface ScriptSegment {
  flags: number;
  seq: number;
  length: number;
  ack: number | null;
  window: number | null;
  /** As written; null where none are. */
  options: string | null;
  data: number | null;
  /** us, -1 if not given. */
  think: number;
  isNew: boolean;
  isFar: boolean;
}

export type ScriptEvent =
  | { kind: "capture" | "expect" | "respond"; flow: number; segment: ScriptSegment }
  | { kind: "tooBig"; flow: number; seq: number; mtu: number }
  | { kind: "count"; counters: [string, number][] };

export interface ScriptLine {
  number: number;
  text: string;
  /** us since the line before. */
  from: number;
  to: number;
  event: ScriptEvent;
}

export interface Script {
  name: string;
  /** The first comment. */
  title: string;
  options: Record<string, number | boolean | string>;
  lines: ScriptLine[];
}

/** Letters of the flag bits from the lowest on. */
const FLAG_LETTERS = "FSRP.UEW";

/** Reads a script; errors name the line. */
export function parseScript(name: string, source: string): Script {
  const script: Script = { name, title: "", options: {}, lines: [] };
  for (const [index, whole] of source.split("\n").entries()) {
    const comment = whole.indexOf("//");
    const text = (comment < 0 ? whole : whole.slice(0, comment)).trim();
    if (script.title === "" && comment >= 0) script.title = whole.slice(comment + 2).trim();
    if (text === "") continue;
    try {
      const option = /^--(\w+)=(\S+)$/.exec(text);
      if (option) script.options[option[1]!] = optionValue(option[2]!);
      else script.lines.push({ number: index + 1, text, ...parseLine(text) });
    } catch (error) {
      throw new Error(`${name}:${index + 1}: ${(error as Error).message}: "${text}"`);
    }
  }
  return script;
}

function optionValue(text: string): number | boolean | string {
  if (text === "true" || text === "false") return text === "true";
  return /^[a-z]+$/.test(text) ? text : quantity(text);
}

/** A number, or a time with its unit in us: 15ms, 2s. */
function quantity(text: string): number {
  const parts = /^(\d*\.?\d+)(us|ms|s)?$/.exec(text);
  if (!parts) throw new Error(`"${text}" is no number`);
  const unit = { us: 1, ms: 1000, s: 1_000_000 }[parts[2] ?? "us"]!;
  return Number(parts[1]) * unit;
}

function parseLine(text: string): Pick<ScriptLine, "from" | "to" | "event"> {
  const parts = /^\+(\d*\.?\d+)(?:~(\d*\.?\d+))?\s+(.*)$/.exec(text);
  if (!parts) throw new Error("a line begins with a time, like +0 or +.25");
  const from = Math.round(Number(parts[1]) * 1e6);
  return { from, to: parts[2] ? Math.round(Number(parts[2]) * 1e6) : from, event: parseEvent(parts[3]!) };
}

function parseEvent(text: string): ScriptEvent {
  const icmp = /^<(\d*) \[(\d+):\d+\(\d+\)\] icmp unreachable frag_needed mtu (\d+)$/.exec(text);
  if (icmp) {
    return { kind: "tooBig", flow: Number(icmp[1]), seq: Number(icmp[2]), mtu: Number(icmp[3]) };
  }
  if (text.startsWith("=")) {
    const counters = text.slice(1).split(",");
    return { kind: "count", counters: counters.map(parseCounter) };
  }
  const parts = /^(c>|>|<)(\d*)\s+(.*)$/.exec(text);
  if (!parts) throw new Error("an event is one of c> > < =");
  const kind = ({ "c>": "capture", ">": "expect", "<": "respond" } as const)[parts[1] as "c>" | ">" | "<"];
  return { kind, flow: Number(parts[2] || 0), segment: parseSegment(parts[3]!) };
}

function parseCounter(text: string): [string, number] {
  const parts = /^\s*([\w.]+) (\d+)\s*$/.exec(text);
  if (!parts) throw new Error(`a counter is a name and a number, not "${text.trim()}"`);
  return [parts[1]!, Number(parts[2])];
}

function parseSegment(text: string): ScriptSegment {
  const head = /^([FSRP.UEW]+|-)\s+(\d+):(\d+)\((\d+)\)\s*([^<]*?)\s*(?:<([^>]*)>)?$/.exec(text);
  if (!head) throw new Error("a segment is flags, first:end(length), words and <options>");
  const [, letters, first, end, length, words, options] = head;
  if (Number(end) - Number(first) !== Number(length))
    throw new Error(`${first}:${end} is not ${length} long`);
  const segment: ScriptSegment = {
    flags:
      letters === "-" ? 0 : [...letters!].reduce((bits, one) => bits | (1 << FLAG_LETTERS.indexOf(one)), 0),
    seq: Number(first),
    length: Number(length),
    ack: null,
    window: null,
    options: options ?? null,
    data: null,
    think: -1,
    isNew: false,
    isFar: false,
  };
  const rest = words!.split(/\s+/).filter((word) => word !== "");
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]!;
    if (word === "new") {
      segment.isNew = true;
      continue;
    }
    if (word === "far") {
      segment.isFar = true;
      continue;
    }
    const value = rest[++i];
    if (value === undefined) throw new Error(`"${word}" wants a value`);
    if (word === "ack") segment.ack = Number(value);
    else if (word === "win") segment.window = Number(value);
    else if (word === "data") segment.data = Number(value);
    else if (word === "think") segment.think = quantity(value);
    else throw new Error(`unknown word "${word}"`);
  }
  if (rest.some((word) => word === "NaN") || Number.isNaN(segment.ack ?? 0)) throw new Error("not a number");
  return segment;
}

/** The letters of a flag byte. */
export function flagLetters(flags: number): string {
  return [...FLAG_LETTERS].filter((_, bit) => flags & (1 << bit)).join("") || "-";
}

/** The bytes of options as written. Numbers of SACK edges count from `sackBase`. */
export function encodeOptions(text: string, sackBase: number): number[] {
  const bytes = text.split(",").flatMap((option) => encodeOption(option.trim().split(/\s+/), sackBase));
  if (bytes.length % 4 !== 0) throw new Error(`options of ${bytes.length} bytes lack padding: <${text}>`);
  return bytes;
}

function encodeOption(words: string[], sackBase: number): number[] {
  const [name, ...values] = words;
  switch (name) {
    case "nop":
      return [1];
    case "eol":
      return [0];
    case "mss":
      return [2, 4, Number(values[0]) >> 8, Number(values[0]) & 255];
    case "wscale":
      return [3, 3, Number(values[0])];
    case "sackOK":
      return [4, 2];
    case "sack": {
      const edges = values.flatMap((block) => block.split(":")).map((edge) => word(Number(edge) + sackBase));
      return [5, 2 + edges.length * 4, ...edges.flat()];
    }
    case "TS":
      return [8, 10, ...word(Number(values[1])), ...word(Number(values[3]))];
    case "kind": {
      const data = values[1] ? [...Buffer.from(values[1], "hex")] : [];
      return [Number(values[0]), 2 + data.length, ...data];
    }
    default:
      throw new Error(`unknown option "${name}"`);
  }
}

function word(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
}

/** Options as they would be written; a malformed rest is `bad`. */
export function decodeOptions(bytes: Uint8Array, sackBase: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at]!;
    if (kind < 2) {
      found.push(kind === 0 ? "eol" : "nop");
      at++;
      continue;
    }
    const length = bytes[at + 1] ?? 0;
    if (length < 2 || at + length > bytes.length) return [...found, "bad"].join(",");
    found.push(decodeOption(kind, length, at + 2, view, sackBase));
    at += length;
  }
  return found.join(",");
}

function decodeOption(kind: number, length: number, at: number, view: DataView, sackBase: number): string {
  if (kind === 2 && length === 4) return `mss ${view.getUint16(at)}`;
  if (kind === 3 && length === 3) return `wscale ${view.getUint8(at)}`;
  if (kind === 4 && length === 2) return "sackOK";
  if (kind === 8 && length === 10) return `TS val ${view.getUint32(at)} ecr ${view.getUint32(at + 4)}`;
  if (kind === 5 && length % 8 === 2) {
    const edges = Array.from({ length: (length - 2) / 4 }, (_, i) => view.getUint32(at + i * 4) - sackBase);
    return edges.reduce((text, edge, i) => `${text}${i % 2 ? ":" : " "}${edge >>> 0}`, "sack");
  }
  return `kind ${kind} ${Buffer.from(view.buffer, view.byteOffset + at, length - 2).toString("hex")}`;
}

/** Whether options are as expected: `...` is anything, `*` any number. */
export function optionsMatch(expected: string | null, found: string): boolean {
  if (expected === "...") return true;
  const normal = (text: string) => text.split(",").map((option) => option.trim().split(/\s+/).join(" "));
  const wanted = normal(expected ?? "");
  const given = normal(found);
  return (
    wanted.length === given.length &&
    wanted.every((option, i) => {
      const parts = option.split(" ");
      const real = given[i]!.split(" ");
      return parts.length === real.length && parts.every((part, j) => part === "*" || part === real[j]);
    })
  );
}
