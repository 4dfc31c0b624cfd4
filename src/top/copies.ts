/** Asks the copies of this host, by their sockets. */
import type { Report } from "../compare/report.ts";
import type { Account } from "../copy/account/account.ts";
import { allTopSockets, type TopSocket } from "../host/top-sockets.ts";

/** ms in which a copy answers. */
const PATIENCE = 2000;

/** What `xcopy top` reads of an account; a copy of another version may lack some. */
export type KnownAccount = Partial<Account>;

/** A copy, as it answered last. */
export interface CopySeen {
  pid: number;
  /** Its own in its configuration file; null: it has none. */
  name: string | null;
  services: string[];
  account: KnownAccount;
  /** Requests a second since it was asked before, or since its start; null: not known. */
  rate: number | null;
}

/** Requests of all kinds that were sent. */
export function sentIn({ turns, udp }: KnownAccount): number {
  return (turns?.sent ?? 0) + (udp?.datagrams.sent ?? 0);
}

/** Asks a copy by its socket; `init`: as for fetch. Throws an Error. */
export async function ask<T>(
  { path }: TopSocket,
  route: string,
  init: RequestInit = { signal: AbortSignal.timeout(PATIENCE) },
): Promise<T> {
  const response = await fetch(`http://xcopy${route}`, { ...init, unix: path });
  if (!response.ok) throw new Error(`${route}: ${response.status}`);
  return (await response.json()) as T;
}

/** What a copy was when it was asked before. */
interface Known {
  name: string | null;
  services: string[];
  sent: number;
  at: number;
}

/** Those that run, asked again and again. */
export class Copies {
  /** By process id. */
  private readonly before = new Map<number, Known>();
  /** Copies that did not answer last time: ended meanwhile, of another user, or stalled. */
  mute: { pid: number; cause: string }[] = [];

  constructor(private readonly sockets: () => TopSocket[] = allTopSockets) {}

  async look(): Promise<CopySeen[]> {
    const sockets = this.sockets();
    const mute: typeof this.mute = [];
    const seen = await Promise.all(
      sockets.map(async (socket) => {
        try {
          return await this.lookAt(socket);
        } catch (error) {
          const cause = causeOf(error);
          if (cause !== null) mute.push({ pid: socket.pid, cause });
          return null;
        }
      }),
    );
    this.mute = mute;
    const pids = new Set(sockets.map(({ pid }) => pid));
    for (const pid of this.before.keys()) if (!pids.has(pid)) this.before.delete(pid);
    return seen.filter((copy) => copy !== null);
  }

  /** The report of one copy; null: there is no such copy. Throws an Error with the cause where it does not answer. */
  async report(pid: number): Promise<Report | null> {
    const socket = this.sockets().find((known) => known.pid === pid);
    if (!socket) return null;
    try {
      return await ask<Report>(socket, "/api/report");
    } catch (error) {
      const cause = causeOf(error);
      if (cause === null) return null;
      throw new Error(cause);
    }
  }

  private async lookAt(socket: TopSocket): Promise<CopySeen> {
    const { pid } = socket;
    const known = this.before.get(pid);
    const { name, services } = known ?? (await firstLook(socket));
    const account = await ask<KnownAccount>(socket, "/api/account");
    const [at, sent] = [performance.now(), sentIn(account)];
    this.before.set(pid, { name, services, sent, at });
    const rate =
      known === undefined || sent < known.sent
        ? averageOf(account)
        : ((sent - known.sent) * 1000) / (at - known.at);
    return { pid, name, services, account, rate };
  }
}

/** What stays as it is while a copy runs; one of another version may have no name. */
async function firstLook(socket: TopSocket): Promise<Pick<Known, "name" | "services">> {
  const { services } = await ask<Report>(socket, "/api/report");
  const named = ask<{ name: string | null }>(socket, "/api/reload").catch(() => ({ name: null }));
  return { services, name: (await named).name };
}

function averageOf(account: KnownAccount): number | null {
  return account.seconds ? sentIn(account) / account.seconds : null;
}

/** Why a copy did not answer; null: it has ended. */
export function causeOf(error: unknown): string | null {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "FailedToOpenSocket") return null;
  if (code === "EACCES") return "of another user";
  return name === "TimeoutError" ? "it does not answer" : message;
}
