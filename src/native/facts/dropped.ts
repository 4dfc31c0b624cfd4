/** Packets that this host's kernel has dropped, by the counters that say why: /proc/net/netstat (TcpExt, net/ipv4/proc.c). */
import { readFileSync } from "node:fs";

export interface Dropped {
  /** By rp_filter (IPReversePathFilter). */
  reversePath: number;
  /** Connections to a service whose queue of those that wait is full (ListenOverflows). */
  listen: number;
}

/** The counters in the text of /proc/net/netstat: a line of names, then a line of values; null: they are not there. */
export function parseDropped(text: string): Dropped | null {
  const [names, values] = text
    .split("\n")
    .filter((line) => line.startsWith("TcpExt:"))
    .map((line) => line.split(" "));
  const counter = (name: string) => Number(values?.[names?.indexOf(name) ?? -1] ?? Number.NaN);
  const [reversePath, listen] = [counter("IPReversePathFilter"), counter("ListenOverflows")];
  return Number.isNaN(reversePath) || Number.isNaN(listen) ? null : { reversePath, listen };
}

/** Of this network namespace. */
export function readDropped(): Dropped | null {
  try {
    return parseDropped(readFileSync("/proc/net/netstat", "utf8"));
  } catch {
    return null;
  }
}

/** What has been dropped since then. */
export function droppedSince(then: Dropped): Dropped | null {
  const now = readDropped();
  return (
    now && {
      reversePath: now.reversePath - then.reversePath,
      listen: now.listen - then.listen,
    }
  );
}
