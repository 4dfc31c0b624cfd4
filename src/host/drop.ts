/** Gives up what a process needs only for its start, once everything is attached and open (docs/security.md says what stays). */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { CAP, lastCapability } from "../native/bpf/capabilities.ts";
import { mayUseMaps } from "../native/bpf/map.ts";
import {
  filterSystemCalls,
  giveUpCapabilities,
  isForUser,
  setOf,
  withOnly,
} from "../native/credentials/credentials.ts";
import { DIRECTORY } from "../native/run-directory.ts";
import { deniedCalls, type StillDoes } from "./denied-calls.ts";
import type { Log } from "./log/log.ts";

/** What a mode still needs while it runs. */
export interface Keeps extends StillDoes {
  /** Of CAP. */
  capabilities: readonly number[];
  /** Whether it changes netfilter rules by their tools, which need capabilities too. */
  usesTools: boolean;
  /** Whether it looks into maps of eBPF programs. */
  usesMaps: boolean;
  /** Files that it writes, makes or removes later (null and "-": none), and that it reads later. */
  writes: readonly (string | null)[];
  reads: readonly string[];
}

/** Capabilities that the tools of netfilter need. */
const TOOLS = setOf([CAP.NET_ADMIN, CAP.NET_RAW]);

/** Whether these files ask for more than what their modes give this user: root may write into the directories of others. */
function needsOverride({ writes, reads }: Keeps): boolean {
  const files = [...writes, `${DIRECTORY}/record`].filter(
    (path) => path !== null && path !== "-",
  ) as string[];
  const written = files.flatMap((path) => [dirname(path), path]);
  const needs = (access: "read" | "write") => (path: string) => existsSync(path) && !isForUser(path, access);
  return written.some(needs("write")) || reads.some(needs("read"));
}

/** The capabilities that stay, as bits. */
export function keptOf(keeps: Keeps): bigint {
  const kept = setOf(keeps.capabilities);
  const closed = keeps.usesMaps && !withOnly(kept, mayUseMaps);
  return kept | setOf([...(closed ? [CAP.BPF] : []), ...(needsOverride(keeps) ? [CAP.DAC_OVERRIDE] : [])]);
}

/**
 * Gives up all capabilities but those that are kept, in all threads, and the system calls that are not needed any more; sets
 * no_new_privs. What of it is not possible on this host is logged: xcopy goes on.
 */
export function dropPrivileges(keeps: Keeps, log: Log): void {
  const kept = keptOf(keeps);
  const passedOn = keeps.usesTools ? kept & TOOLS : 0n;
  try {
    const left = giveUpCapabilities(kept, passedOn, lastCapability());
    if (left.length > 0) log.warn(`${left.length} threads of xcopy keep capabilities that they do not need.`);
  } catch (error) {
    log.warn(
      `Cannot give up capabilities: ${(error as Error).message}; xcopy goes on with those that it has.`,
    );
  }
  const cause = filterSystemCalls(deniedCalls(keeps));
  if (cause !== null) log.info(`no filter of system calls here: ${cause}`);
}
