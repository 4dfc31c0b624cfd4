/** What `xcopy doctor` looks at: the copy that is meant, as far as it can be planned, and this host. */
import { readFileSync } from "node:fs";
import { checkKey, type Key, readKey } from "../channel/key.ts";
import type { CopyOptions } from "../copy/options.ts";
import { thisHost } from "../copy/plan/host.ts";
import { makePlan } from "../copy/plan/make.ts";
import type { Plan } from "../copy/plan.ts";
import { Failure } from "../native/failure.ts";
import { type Link, links } from "../native/netlink/netlink.ts";

export interface Subject {
  /** As `xcopy copy` reads them. */
  options: CopyOptions;
  /**
   * What the copy would do; null: it cannot be planned. Made as for a dry run: it needs no privileges, next hops are not asked
   * for, and of a name with several addresses the first that this host has a route to is taken.
   */
  plan: Plan | null;
  /** Why there is no plan; null: there is one. */
  unplanned: Failure | null;
  /** The key for the intercepts; null: there are none, the copy goes without, or it cannot be read. */
  key: Key | null;
  /** Why the key cannot be used; null: it can, or none is needed. */
  keyless: Failure | null;
  /** The text of a file of /proc or /sys; null: there is none, or this user may not read it. */
  read: Read;
  /** Every network interface of this network namespace. */
  links: Link[];
}

export type Read = (path: string) => string | null;

/** Reads the files of this host. */
export const readHost: Read = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
};

function usedKey({ intercepts, compat, keyFile, insecure }: CopyOptions): Key | null {
  if (intercepts.length === 0 || compat) return null;
  const key = readKey(keyFile, process.env);
  checkKey("copy", key, insecure);
  return key;
}

/** The Failure that a function throws; other errors are bugs, and thrown on. */
function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  throw error;
}

/** The copy with these options on this host. Throws nothing that the user could mend. */
export async function makeSubject(given: CopyOptions): Promise<Subject> {
  const options = { ...given, dryRun: true };
  const subject: Subject = {
    options,
    plan: null,
    unplanned: null,
    key: null,
    keyless: null,
    read: readHost,
    links: links(),
  };
  try {
    subject.key = usedKey(options);
  } catch (error) {
    subject.keyless = failureOf(error);
  }
  try {
    subject.plan = await makePlan(options, thisHost(options), subject.key);
  } catch (error) {
    subject.unplanned = failureOf(error);
  }
  return subject;
}
