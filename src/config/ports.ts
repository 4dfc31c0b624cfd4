/** The source ports that copied connections may use. */
import { Failure } from "../native/failure.ts";
import { isWhole } from "./number.ts";

/** First and last port, both included. */
export type PortRange = [number, number];

/** One of `count` equal parts of the ports, from 0. */
export interface Part {
  index: number;
  count: number;
}

/** Parts for `-f K` without N: enough for a handful of xcopy processes, and each part still has many ports. */
const USUAL_PARTS = 16;
const MOST_PARTS = 1024;

/** `--ports FIRST-LAST`. Throws a Failure (exit code 2). */
export function parsePorts(text: string): PortRange {
  const fix = 'Write it as FIRST-LAST, for example "20000-29999".';
  const refuse = (cause: string) => new Failure(`Cannot use --ports "${text}": ${cause}`, fix, 2);
  const match = /^([0-9]{1,5})-([0-9]{1,5})$/.exec(text);
  if (!match) throw refuse("not a range of two ports");
  const [first, last] = [Number(match[1]), Number(match[2])];
  if (first < 1 || last > 65535) throw refuse("not ports from 1 to 65535");
  if (first > last) throw refuse("the first port is above the last");
  return [first, last];
}

/**
 * `-f K/N`: part K of N. Without N there are 16 parts, for K of 16 or more the next power of two above K. xcopy processes
 * with the same N and different K use different ports. Throws a Failure (exit code 2).
 */
export function parsePart(text: string): Part {
  const [first, second, ...rest] = text.split("/");
  const fix = `Give a number from 0 to ${MOST_PARTS - 1}, or K/N with a K below N, for example "0/2" here and "1/2" there.`;
  const refuse = (cause: string) => new Failure(`Cannot use -f "${text}": ${cause}`, fix, 2);
  if (rest.length > 0 || !isWhole(first!, { first: 0, last: MOST_PARTS - 1 })) {
    throw refuse(`not a whole number from 0 to ${MOST_PARTS - 1}`);
  }
  const index = Number(first);
  if (second === undefined) {
    return { index, count: Math.max(USUAL_PARTS, 2 ** (32 - Math.clz32(index))) };
  }
  if (!isWhole(second, { first: 1, last: MOST_PARTS })) throw refuse(`not 1 to ${MOST_PARTS} parts`);
  if (index >= Number(second)) throw refuse(`the parts are numbered from 0 to ${Number(second) - 1}`);
  return { index, count: Number(second) };
}

/** How many ports there are in ranges that do not overlap. */
export function countPorts(ranges: readonly PortRange[]): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/**
 * One part of the ports, in their order: no port is in two parts of the same count, every one is in one, and sizes differ
 * by one at most. Empty where there are fewer ports than parts.
 */
export function partOf(ranges: readonly PortRange[], { index, count }: Part): PortRange[] {
  const total = countPorts(ranges);
  const from = Math.floor((index * total) / count);
  const to = Math.floor(((index + 1) * total) / count);
  const part: PortRange[] = [];
  let before = 0;
  for (const [first, last] of ranges) {
    const start = Math.max(first, first + from - before);
    const end = Math.min(last, first + to - before - 1);
    if (start <= end) part.push([start, end]);
    before += last - first + 1;
  }
  return part;
}

/**
 * The ports that this host does not give to connections of its own: from 1024 up, without `local` (the text of
 * net.ipv4.ip_local_port_range: two numbers) and `reserved` (of ip_local_reserved_ports: a comma list of ports and
 * ranges that the administrator keeps for services).
 */
export function freePorts(local: string, reserved: string): PortRange[] {
  const taken: PortRange[] = [
    local.trim().split(/\s+/),
    ...reserved
      .trim()
      .split(",")
      .map((part) => part.split("-")),
  ]
    .filter(([first]) => first !== "")
    .map(([first, last]): PortRange => [Number(first), Number(last ?? first)])
    .sort((one, other) => one[0] - other[0]);
  const free: PortRange[] = [];
  let next = 1024;
  for (const [first, last] of taken) {
    if (first > next) free.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= 65535) free.push([next, 65535]);
  return free;
}

/** How many of `ports` this host may give to connections of its own; `local` and `reserved` as for `freePorts`. */
export function portsAtRisk(ports: readonly PortRange[], local: string, reserved: string): number {
  const [first, last] = local.trim().split(/\s+/).map(Number);
  const within = ports.map(([from, to]): PortRange => [Math.max(from, first!), Math.min(to, last!)]);
  const given = within.filter(([from, to]) => from <= to);
  return countPorts(given) - sharedPorts(given, listedPorts(reserved));
}

/** `reserved` with `ports` besides, as net.ipv4.ip_local_reserved_ports takes it: writing it replaces what was there. */
export function reservedWith(ports: readonly PortRange[], reserved: string): string {
  return [reserved.trim(), formatPorts(ports).replaceAll(" ", "")].filter((text) => text !== "").join(",");
}

function listedPorts(text: string): PortRange[] {
  return text
    .trim()
    .split(",")
    .filter((part) => part !== "")
    .map((part): PortRange => {
      const [first, last] = part.split("-").map(Number);
      return [first!, last ?? first!];
    });
}

/** Ports that two lists of ranges have in common. */
export function sharedPorts(one: readonly PortRange[], other: readonly PortRange[]): number {
  let count = 0;
  for (const [first, last] of one) {
    for (const [from, to] of other) count += Math.max(0, Math.min(last, to) - Math.max(first, from) + 1);
  }
  return count;
}

/** `1024-32767, 61000-65535`. */
export function formatPorts(ranges: readonly PortRange[]): string {
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}
