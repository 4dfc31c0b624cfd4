/** What checks of a host look at in tests: files and interfaces that are given, not those of this host. */

import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { type CopyOptions, parseCopy } from "../../src/copy/options.ts";
import type { Finding } from "../../src/doctor/finding.ts";
import type { Read } from "../../src/doctor/subject.ts";
import type { Link } from "../../src/native/netlink/netlink.ts";

/** Reads what is given, by path. */
export function files(given: Record<string, string>): Read {
  return (path) => given[path] ?? null;
}

/** The options of this command line of copy. */
export function optionsOf(...words: string[]): CopyOptions {
  return parseCopy(parseArguments(COPY, ["-x", "80-10.0.0.2:8080", ...words]));
}

/** An Ethernet interface that is up. */
export function link(name: string, other: Partial<Link> = {}): Link {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  return {
    ...{ ifindex: 2, name, mtu: 1500, up: true, loopback: false, pointToPoint: false },
    ...{ hardwareType: 1, mac, kind: "", largest: 65536 },
    ...other,
  };
}

/** "ok host.kernel: what was found -> what mends it". */
export function linesOf(findings: Finding[]): string[] {
  return findings.map(
    ({ id, status, found, fix }) => `${status} ${id}: ${found}${fix === null ? "" : ` -> ${fix}`}`,
  );
}

/** The text of /proc/self/status of a process with these capabilities. */
export function status(effective: bigint, { uid = 0, seccomp = 0 } = {}): string {
  return `Uid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t${effective.toString(16).padStart(16, "0")}\nSeccomp:\t${seccomp}\n`;
}
