/** The socket by which `xcopy reload` asks the process that runs several copies, and how that asks each of them by its own. */
import { chmodSync, rmSync } from "node:fs";
import { allTopSockets, copiesSocket } from "../host/top-sockets.ts";
import { makeDirectory } from "../native/run-directory.ts";
import type { Outcome } from "./tables.ts";

/** ms in which a copy tries new targets, and changes. */
const PATIENCE = 60_000;
const ROUTE = "/api/reload";

/** Has the copy with this process id read its configuration again. */
export async function askToReload(pid: number): Promise<Outcome> {
  const socket = allTopSockets().find((one) => one.pid === pid);
  try {
    if (socket === undefined) throw new Error("it has no socket");
    const init = { method: "POST", signal: AbortSignal.timeout(PATIENCE), unix: socket.path };
    const response = await fetch(`http://xcopy${ROUTE}`, init);
    if (!response.ok) throw new Error(`${ROUTE}: ${response.status}`);
    return (await response.json()) as Outcome;
  } catch (error) {
    const { message } = error as Error;
    return { exitCode: 1, lines: [`Cannot reload: ${message}`, "Look into its log."] };
  }
}

/**
 * Listens for `xcopy reload`, for the user of this process and root; returns what ends that. Where it cannot, `warn` gets a line, and
 * SIGHUP is left.
 */
export function listenForReload(reload: () => Promise<Outcome>, warn: (text: string) => void): () => void {
  const path = copiesSocket();
  const before = process.umask();
  try {
    makeDirectory();
    process.umask(0o177);
    rmSync(path, { force: true });
    const server = Bun.serve({
      unix: path,
      development: false,
      maxRequestBodySize: 1,
      async fetch(request, server) {
        if (new URL(request.url).pathname !== ROUTE) return new Response("no such page\n", { status: 404 });
        // Targets are tried meanwhile.
        server.timeout(request, 0);
        return Response.json(request.method === "POST" ? await reload() : { pid: process.pid });
      },
      error: () => new Response("this could not be made\n", { status: 500 }),
    });
    chmodSync(path, 0o600);
    return () => {
      void server.stop(true);
      rmSync(path, { force: true });
    };
  } catch (error) {
    warn(`Cannot make "${path}": ${(error as Error).message}; only SIGHUP reloads these copies`);
    return () => {};
  } finally {
    process.umask(before);
  }
}
