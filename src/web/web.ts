/**
 * The web server of a run, on its main thread: the live page, its events, the report and the account as JSON, /metrics, /healthz.
 * Whatever is asked of it, it does a bounded amount of work a second and holds a bounded amount of memory.
 */
import { chmodSync, existsSync, unlinkSync } from "node:fs";
import { isLoopback, type WebAddress } from "../config/web.ts";
import { Failure } from "../native/failure.ts";
import type { PairProtocol } from "../pairs/pair.ts";
import { policyOf } from "../report/page.ts";
import { cookieName, cookieValue, grantOf, isOwnName } from "./access.ts";
import { createEvents, type Events } from "./events.ts";
import { createLimit } from "./limit.ts";
import type { WebSource } from "./source.ts";
import { createState, type State } from "./state.ts";

/** Where it listens: an address, or a Unix socket that only this user may open. */
export type Listen = WebAddress | { path: string };

export interface Web {
  /** `http://127.0.0.1:9400/`; of a Unix socket its path. */
  url: string;
  /** Tells pages that follow how the run ended (`source.report()` once more), and stops listening. */
  close(): Promise<void>;
}

/** Answers that are on their way at a time, those of pages that follow included. */
const MOST_PENDING = 64;
/** s without progress after which a connection is closed. */
const IDLE = 10;
/** ms that a request waits which is one too many, so that asking again and again costs the asker. */
const PENANCE = 250;

type Server = Bun.Server<undefined>;

const HEADERS: Record<string, string> = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
};
const TEXT = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json";
/** Of the text format of Prometheus. */
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

function answer(
  body: Blob | string | ReadableStream,
  type: string,
  more: Record<string, string> = {},
): Response {
  return new Response(body, { headers: { ...HEADERS, "Content-Type": type, ...more } });
}

function refuse(status: number, text: string, more: Record<string, string> = {}): Response {
  return new Response(`${text}\n`, { status, headers: { ...HEADERS, "Content-Type": TEXT, ...more } });
}

/** Listens at once; before privileges are dropped. Throws a Failure where it cannot. */
export async function startWeb(listen: Listen, source: WebSource): Promise<Web> {
  const now = () => performance.now();
  const state = createState(source, now);
  const events = createEvents(() => state.compact());
  const mayAnswer = createLimit(now);
  const fetch = async (request: Request, server: Server): Promise<Response> => {
    if (server.pendingRequests > MOST_PENDING) {
      return refuse(503, "too many requests at a time", { Connection: "close", "Retry-After": "1" });
    }
    if (!mayAnswer()) {
      await Bun.sleep(PENANCE);
      return refuse(429, "too many requests", { "Retry-After": "1" });
    }
    const url = new URL(request.url);
    if ("path" in listen && url.pathname === "/api/reload" && source.reloads) {
      const { name, parent = null, reload } = source.reloads;
      // Targets are tried meanwhile.
      server.timeout(request, 0);
      return answer(JSON.stringify(request.method === "POST" ? await reload() : { name, parent }), JSON_TYPE);
    }
    const refusal = refusalOf(request, url, listen, server.port ?? 0);
    if (refusal instanceof Response) return refusal;
    const response = await route(request, url, { state, events, server });
    for (const [name, value] of Object.entries(refusal)) response.headers.set(name, value);
    return response;
  };
  const common = {
    development: false,
    // Which Bun takes for granted where it is not for development: another program could share the port.
    reusePort: false,
    idleTimeout: IDLE,
    maxRequestBodySize: 1,
    fetch,
    error: () => refuse(500, "this could not be made"),
  } as const;
  const server = "path" in listen ? await serveSocket(listen.path, common) : serveAddress(listen, common);
  return {
    url: "path" in listen ? listen.path : urlOf(listen, server.port!),
    close: async () => {
      state.forget();
      events.close();
      await Promise.race([server.stop(false), Bun.sleep(PENANCE)]);
      await server.stop(true);
    },
  };
}

type Common = Pick<
  Bun.Serve.Options<undefined>,
  "fetch" | "error" | "reusePort" | "idleTimeout" | "maxRequestBodySize" | "development"
>;

function urlOf({ host }: WebAddress, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
}

/** Throws a Failure where the socket cannot be made. Its directory must be one that others cannot write into. */
async function serveSocket(path: string, common: Common): Promise<Server> {
  const before = process.umask(0o177);
  try {
    if (existsSync(path) && !(await isServed(path))) unlinkSync(path);
    const server = Bun.serve({ ...common, unix: path } as Bun.Serve.Options<undefined>);
    chmodSync(path, 0o600);
    return server;
  } catch (error) {
    const fix = "Check that its directory is there and that this user may write into it.";
    throw new Failure(`Cannot listen on "${path}": ${causeOf(error)}`, fix, 1);
  } finally {
    process.umask(before);
  }
}

/** Whether a program listens on a Unix socket; else who made it was killed. */
async function isServed(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data: () => {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

function serveAddress({ host, port }: WebAddress, common: Common): Server {
  try {
    return Bun.serve({ ...common, hostname: host, port } as Bun.Serve.Options<undefined>);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const text = urlOf({ host, port, token: null }, port).slice("http://".length, -1);
    const fix =
      code === "EADDRINUSE"
        ? "Give another port to --web, or 0 for any that is free."
        : "Give --web a port and an address of this host that this user may listen on.";
    throw new Failure(
      `Cannot serve the page on "${text}": ${causeOf(error)}`,
      fix,
      code === "EACCES" ? 4 : 1,
    );
  }
}

const CAUSES: Record<string, string> = {
  EADDRINUSE: "another program listens there",
  EADDRNOTAVAIL: "this host has no such address",
  EACCES: "this user may not listen there",
};

function causeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return CAUSES[code ?? ""] ?? message;
}

/** Why a request is not answered; else the header fields that its answer gets. */
function refusalOf(
  request: Request,
  url: URL,
  listen: Listen,
  port: number,
): Response | Record<string, string> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return refuse(405, "only GET and HEAD", { Allow: "GET, HEAD" });
  }
  if ("path" in listen || url.pathname === "/healthz") return {};
  const { host, token } = listen;
  if (isLoopback(host) && !isOwnName(request.headers.get("host"), host)) {
    return refuse(421, "this page is only for programs on this host, under its address or localhost");
  }
  if (token === null) return {};
  const credentials = {
    authorization: request.headers.get("authorization"),
    cookie: request.headers.get("cookie"),
    parameter: url.searchParams.get("token"),
  };
  const grant = grantOf(credentials, token, port);
  if (grant === null) {
    return refuse(
      401,
      "Give the token of --web-token: in the address of the page, as /?token=TOKEN, or as a header, Authorization: Bearer TOKEN",
      { "WWW-Authenticate": 'Bearer realm="xcopy"' },
    );
  }
  if (grant !== "parameter") return {};
  return {
    "Set-Cookie": `${cookieName(port)}=${cookieValue(token)}; HttpOnly; SameSite=Strict; Path=/`,
  };
}

interface Answering {
  state: State;
  events: Events;
  server: Server;
}

async function route(request: Request, url: URL, { state, events, server }: Answering): Promise<Response> {
  switch (url.pathname) {
    case "/healthz":
      return answer("ok\n", TEXT);
    case "/":
      return answer(state.page(), "text/html; charset=utf-8", {
        "Content-Security-Policy": `${policyOf({ live: true })}; frame-ancestors 'none'`,
      });
    case "/api/report":
      return answer(state.reportText(), JSON_TYPE);
    case "/api/account":
      return answer(state.account(), JSON_TYPE);
    case "/metrics":
      return answer(await state.metrics(), METRICS_TYPE);
    case "/api/endpoint": {
      const text = (name: string) => url.searchParams.get(name) ?? "";
      const protocol = text("protocol") as PairProtocol;
      const endpoint = state.endpoint({
        service: text("service"),
        protocol,
        method: text("method"),
        name: text("name"),
      });
      return endpoint ? answer(JSON.stringify(endpoint), JSON_TYPE) : refuse(404, "no such endpoint");
    }
    case "/events": {
      if (!events.hasRoom())
        return refuse(503, "as many pages follow as can be served", { "Retry-After": "10" });
      if (request.method === "HEAD") return answer("", "text/event-stream");
      server.timeout(request, 0);
      return answer(
        events.open(() => server.timeout(request, 1)),
        "text/event-stream",
      );
    }
    default:
      return refuse(404, "no such page");
  }
}
