/** The web server of a run: the live page, its events, the report and the account as JSON, /metrics, /healthz. */
import { chmodSync } from "node:fs";
import type { WebAddress } from "../config/web.ts";
import type { WebSource } from "./source.ts";

/** Where it listens: an address, or a Unix socket that only this user may open. */
export type Listen = WebAddress | { path: string };

export interface Web {
  /** `http://127.0.0.1:9400/`; of a Unix socket its path. */
  url: string;
  close(): Promise<void>;
}

/** Listens at once; before privileges are dropped. Throws a Failure where it cannot. */
export async function startWeb(listen: Listen, source: WebSource): Promise<Web> {
  const fetch = () => Response.json(source.report());
  if ("path" in listen) {
    const server = Bun.serve({ unix: listen.path, fetch });
    chmodSync(listen.path, 0o600);
    return { url: listen.path, close: () => server.stop(true) };
  }
  const server = Bun.serve({ hostname: listen.host, port: listen.port, fetch });
  return { url: server.url.href, close: () => server.stop(true) };
}
