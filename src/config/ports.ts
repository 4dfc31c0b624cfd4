/** The source ports that copied connections may use. */
import { Failure } from "../native/failure.ts";

/** First and last port, both included. */
export type PortRange = [number, number];

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
 * The ports that this host does not give to connections of its own: from 1024 up, without `local` (the text of
 * net.ipv4.ip_local_port_range: two numbers) and `reserved` (of ip_local_reserved_ports: a comma list of ports and
 * ranges, kept for services by whoever runs the host).
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
