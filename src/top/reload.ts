/** Asks a copy of this host, or several of one file, to read their configuration again, by their socket. */
import { allCopiesSockets, allTopSockets, type TopSocket } from "../host/top-sockets.ts";
import { Failure } from "../native/failure.ts";
import type { Reloaded } from "../web/source.ts";
import { ask, causeOf } from "./copies.ts";

/** ms in which copies try new targets, and change. */
const PATIENCE = 120_000;
const ALL = '"xcopy top" shows the copies that this user may see; root sees those of others too.';
const NO_COPIES =
  "An intercept is restarted instead: its guard keeps dropping meanwhile, and its copies connect again.";

export interface Copy extends TopSocket {
  /** Its own in its configuration file; null: it has none. */
  name: string | null;
  /** The process that runs it beside others of its file; null: none. */
  parent: number | null;
  /** Whether it is such a process. */
  isParent: boolean;
  /** Why it does not answer; null: it does. */
  cause: string | null;
}

async function lookAt(socket: TopSocket, isParent: boolean): Promise<Copy | null> {
  try {
    const { name = null, parent = null } = await ask<Partial<Pick<Copy, "name" | "parent">>>(
      socket,
      "/api/reload",
    );
    return { ...socket, name, parent, isParent, cause: null };
  } catch (error) {
    const cause = causeOf(error);
    return cause === null ? null : { ...socket, name: null, parent: null, isParent, cause };
  }
}

function written({ pid, name, isParent }: Copy): string {
  if (isParent) return `${pid} (several)`;
  return name === null ? `${pid}` : `${pid} (${name})`;
}

/** The copy that is meant, or the process of several: by process id or name, or the only one. Throws a Failure (2). */
export function choose(copies: readonly Copy[], wanted: string | null): Copy {
  const parents = copies.filter(({ isParent }) => isParent).map(({ pid }) => pid);
  const alone = copies.filter(({ parent }) => parent === null || !parents.includes(parent));
  const found =
    wanted === null ? alone : copies.filter(({ pid, name }) => `${pid}` === wanted || name === wanted);
  if (found.length === 1) return found[0]!;
  const all = copies.map(written).join(", ");
  if (wanted === null && alone.length > 1) {
    throw new Failure(
      `Cannot reload: ${alone.length} copies run here: ${all}`,
      'Name one of them: "xcopy reload PID".',
      2,
    );
  }
  if (found.length > 1) {
    throw new Failure(
      `Cannot reload: ${found.length} copies "${wanted}" run here: ${found.map(written).join(", ")}`,
      'Name one of them by its process id: "xcopy reload PID".',
      2,
    );
  }
  const cause = wanted === null ? "no copy runs here" : `no copy "${wanted}" runs here`;
  throw new Failure(`Cannot reload: ${cause}${all && ` (there are ${all})`}`, `${ALL} ${NO_COPIES}`, 2);
}

/** Reloads, and prints what became of it. Returns the exit code: that of Reloaded. Throws a Failure. */
export async function reload(wanted: string | null): Promise<number> {
  const seen = await Promise.all([
    ...allTopSockets().map((socket) => lookAt(socket, false)),
    ...allCopiesSockets().map((socket) => lookAt(socket, true)),
  ]);
  const copy = choose(
    seen.filter((one) => one !== null),
    wanted,
  );
  if (copy.cause !== null)
    throw new Failure(`Cannot reload ${written(copy)}: ${copy.cause}`, "Try it as its user, or as root.", 4);
  const init = { method: "POST", signal: AbortSignal.timeout(PATIENCE) };
  const reloaded = await ask<Reloaded>(copy, "/api/reload", init).catch((error: Error) => {
    throw new Failure(`Cannot reload ${written(copy)}: ${error.message}`, "Look into its log.", 1);
  });
  for (const line of reloaded.lines) (reloaded.exitCode === 0 ? console.log : console.error)(line);
  return reloaded.exitCode;
}
