/** The web server as its clients see it: pages and data, who may look, and what it does not let be done to it. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Report } from "../../src/compare/report.ts";
import { Failure } from "../../src/native/failure.ts";
import { applyChange, type Change, compact } from "../../src/report/page/changes.ts";
import { cookieValue, grantOf, isOwnName } from "../../src/web/access.ts";
import { createEvents, MOST_READERS } from "../../src/web/events.ts";
import { createLimit } from "../../src/web/limit.ts";
import { startWeb, type Web } from "../../src/web/web.ts";
import { madeReport } from "../report/made.ts";
import { ACCOUNT, madeSource } from "./made.ts";

const TOKEN = "0123456789abcdef-a-token";
const open: Web[] = [];

async function start(token: string | null = null, source = madeSource().source): Promise<string> {
  const web = await startWeb({ host: "127.0.0.1", port: 0, token }, source);
  open.push(web);
  return web.url;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((web) => web.close()));
});

describe("what is there", () => {
  test("the page, the report, the account, metrics, and that it works", async () => {
    const { source, report } = madeSource();
    const url = await start(null, source);
    const of = async (path: string) => {
      const response = await fetch(url + path);
      return {
        status: response.status,
        type: response.headers.get("content-type"),
        text: await response.text(),
      };
    };
    const page = await of("");
    expect(page).toMatchObject({ status: 200, type: "text/html; charset=utf-8" });
    expect(page.text).toContain('data-kind="live"');
    expect(JSON.parse((await of("api/report")).text)).toEqual(report);
    expect(JSON.parse((await of("api/account")).text)).toEqual(ACCOUNT);
    const metrics = await of("metrics");
    expect(metrics.type).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(metrics.text).toContain("xcopy_requests_captured_total 90\n");
    expect(await of("healthz")).toEqual({ status: 200, type: "text/plain; charset=utf-8", text: "ok\n" });
    expect((await of("etc/passwd")).status).toBe(404);
  });

  test("one endpoint with its curves and examples, by its names", async () => {
    const { source, report } = madeSource();
    const url = await start(null, source);
    for (const endpoint of report.endpoints) {
      const { service, protocol, method, name } = endpoint;
      const response = await fetch(
        `${url}api/endpoint?${new URLSearchParams({ service, protocol, method, name })}`,
      );
      expect(await response.json()).toEqual(endpoint);
    }
    expect((await fetch(`${url}api/endpoint?name=none`)).status).toBe(404);
  });

  test("every response forbids what a page of ours does not need", async () => {
    const url = await start();
    const { headers } = await fetch(url);
    expect(headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; script-src 'sha256-.*frame-ancestors 'none'$/,
    );
    for (const path of ["", "api/report", "metrics", "nothing"]) {
      const { headers } = await fetch(url + path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("cross-origin-resource-policy")).toBe("same-origin");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  test("only to look: HEAD has no body, and nothing else is taken", async () => {
    const url = await start();
    const head = await fetch(url, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    for (const method of ["PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const response = await fetch(url, { method });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    }
    expect((await fetch(url, { method: "POST", body: "x".repeat(100_000) })).status).toBe(413);
    expect((await fetch(url, { headers: { "x-long": "x".repeat(100_000) } })).status).toBe(431);
  });
});

describe("who may look", () => {
  const withHost = (url: string, host: string) => fetch(url, { headers: { host } });

  test("on loopback nobody's page by a name of its own (DNS rebinding)", async () => {
    const url = await start();
    const { port } = new URL(url);
    const status = async (host: string) => (await withHost(`${url}api/report`, host)).status;
    expect(await status("evil.example")).toBe(421);
    expect(await status(`evil.example:${port}`)).toBe(421);
    expect(await status(`127.0.0.1.evil.example:${port}`)).toBe(421);
    expect(await status(`localhost:${port}`)).toBe(200);
    expect(await status(`127.0.0.1:${port}`)).toBe(200);
    expect(await status(`[::1]:${port}`)).toBe(200);
  });

  test.each([
    "",
    "localhost.",
    "evil",
    "[::1",
    "localhost:80:90",
    "127.1",
    "127.0.0.1@evil",
    "a".repeat(5000),
  ])("%p is not a name of loopback", (header) => expect(isOwnName(header, "127.0.0.1")).toBe(false));

  test("with a token only who has it, whatever is asked for; but whether it works is no secret", async () => {
    const url = await start(TOKEN);
    for (const path of ["", "events", "api/report", "api/account", "api/endpoint", "metrics", "nothing"]) {
      expect((await fetch(url + path)).status).toBe(401);
      const wrong = await fetch(url + path, { headers: { authorization: `Bearer ${TOKEN}x` } });
      expect([wrong.status, wrong.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="xcopy"']);
    }
    expect((await fetch(`${url}healthz`)).status).toBe(200);
    expect((await fetch(`${url}metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(
      200,
    );
  });

  test("a token in the address becomes a cookie that scripts and other sites do not get, and that is not the token", async () => {
    const url = await start(TOKEN);
    const first = await fetch(`${url}?token=${TOKEN}`);
    expect(first.status).toBe(200);
    const cookie = first.headers.get("set-cookie")!;
    expect(cookie).toBe(
      `xcopy-${new URL(url).port}=${cookieValue(TOKEN)}; HttpOnly; SameSite=Strict; Path=/`,
    );
    expect(cookie).not.toContain(TOKEN);
    const next = await fetch(`${url}api/report`, { headers: { cookie: `other=1; ${cookie.split(";")[0]}` } });
    expect([next.status, next.headers.get("set-cookie")]).toEqual([200, null]);
    expect((await fetch(`${url}?token=${TOKEN.slice(1)}`)).status).toBe(401);
  });

  test("neither the cookie of another port nor the token as a cookie will do", () => {
    const none = { authorization: null, cookie: null, parameter: null };
    const cookie = (text: string) => grantOf({ ...none, cookie: text }, TOKEN, 9400);
    expect(cookie(`xcopy-9400=${cookieValue(TOKEN)}`)).toBe("cookie");
    expect(cookie(`xcopy-9401=${cookieValue(TOKEN)}`)).toBeNull();
    expect(cookie(`xcopy-9400=${TOKEN}`)).toBeNull();
    expect(cookie("xcopy-9400")).toBeNull();
    expect(grantOf({ ...none, authorization: `Basic ${TOKEN}` }, TOKEN, 9400)).toBeNull();
    expect(grantOf({ ...none, parameter: "" }, TOKEN, 9400)).toBeNull();
  });

  test("a socket is for this user only; what a killed process left there is taken over, a living one is not", async () => {
    const directory = mkdtempSync(join(tmpdir(), "xcopy-web-"));
    const path = join(directory, "web.sock");
    const script = `Bun.serve({ unix: ${JSON.stringify(path)}, fetch: () => new Response("") }); process.kill(process.pid, "SIGKILL")`;
    await Bun.spawn([process.execPath, "-e", script]).exited;
    const web = await startWeb({ path }, madeSource().source);
    open.push(web);
    expect(web.url).toBe(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await (await fetch("http://xcopy/api/account", { unix: path })).json()).toEqual(ACCOUNT);
    const second = startWeb({ path }, madeSource().source).catch((error) => error);
    expect(await second).toBeInstanceOf(Failure);
    expect((await fetch("http://xcopy/healthz", { unix: path })).status).toBe(200);
    rmSync(directory, { recursive: true });
  });

  test("where it cannot listen it says why", async () => {
    const { port } = new URL(await start());
    const error = await startWeb(
      { host: "127.0.0.1", port: Number(port), token: null },
      madeSource().source,
    ).catch((error) => error);
    expect(error.message).toBe(`Cannot serve the page on "127.0.0.1:${port}": another program listens there`);
    expect([error.fix, error.exitCode]).toEqual([
      "Give another port to --web, or 0 for any that is free.",
      1,
    ]);
    const gone = await startWeb({ host: "192.0.2.1", port: 0, token: TOKEN }, madeSource().source).catch(
      (error) => error,
    );
    expect(gone.message).toBe('Cannot serve the page on "192.0.2.1:0": this host has no such address');
  });
});

describe("what is not done to the run", () => {
  test("it is looked at once a second, however many ask", async () => {
    const { source, looks } = madeSource();
    const url = await start(null, source);
    const began = performance.now();
    const paths = ["", "api/report", "api/account", "metrics", "api/endpoint?name=x"];
    await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        fetch(url + paths[index % paths.length]!).then((response) => response.blob()),
      ),
    );
    const most = 1 + Math.ceil((performance.now() - began) / 1000);
    for (const count of Object.values(looks)) expect(count).toBeLessThanOrEqual(most);
    expect(looks.report).toBeGreaterThan(0);
  });

  test("who asks too often is told so", async () => {
    const url = await start();
    const all = await Promise.all(
      Array.from({ length: 300 }, () => fetch(`${url}healthz`).then(({ status }) => status)),
    );
    expect(all.filter((status) => status === 200).length).toBeLessThan(300);
    expect(new Set(all.filter((status) => status !== 200)).isSubsetOf(new Set([429, 503]))).toBe(true);
  });

  test("requests are limited by a rate that recovers", () => {
    let now = 0;
    const mayAnswer = createLimit(() => now);
    const granted = (asked: number) =>
      Array.from({ length: asked }, () => mayAnswer()).filter(Boolean).length;
    expect(granted(1000)).toBe(100);
    now += 1000;
    expect(granted(1000)).toBe(50);
    now += 3_600_000;
    expect(granted(1000)).toBe(100);
  });

  test("a source that throws is a response of 500, and the next request is another one", async () => {
    const { source } = madeSource();
    let fails = true;
    const url = await start(null, {
      ...source,
      account: () => {
        if (fails) throw new Error("secret");
        return ACCOUNT;
      },
    });
    const response = await fetch(`${url}api/account`);
    expect([response.status, await response.text()]).toEqual([500, "this could not be made\n"]);
    fails = false;
    expect((await fetch(`${url}api/account`)).status).toBe(200);
  });

  test("garbage in place of a request ends that connection only", async () => {
    const url = await start();
    const { port } = new URL(url);
    for (const bytes of [
      "\x16\x03\x01\x02",
      "GET  /\r\n\r\n",
      "GET http://[/ HTTP/1.1\r\nHost: [\r\n\r\n",
      "\0".repeat(70_000),
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect(Number(port), "127.0.0.1", () => socket.end(bytes));
        socket.on("error", () => {});
        socket.on("data", () => {});
        socket.on("close", () => resolve());
      });
    }
    expect((await fetch(`${url}healthz`)).status).toBe(200);
  });
});

/** The events in a text: names and data. */
function eventsIn(text: string): { event: string; data: unknown }[] {
  return text
    .split("\n\n")
    .filter((part) => part !== "")
    .map((part) => {
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(part)!;
      return { event: event!, data: JSON.parse(data!) };
    });
}

describe("events", () => {
  /** Events whose clock is moved by hand; `grow` is the next state. */
  function byHand() {
    let report: Report = compact({ ...madeReport(5, 10), isRunning: true });
    let tick: (() => void) | null = null;
    const looks = { count: 0 };
    const events = createEvents(
      () => {
        looks.count++;
        return report;
      },
      (tell) => {
        tick = tell;
        return () => {
          tick = null;
        };
      },
    );
    const grow = () => {
      const [first, ...others] = report.endpoints;
      report = {
        ...report,
        count: report.count + 1,
        endpoints: [...others, { ...first!, count: first!.count + 1 }],
      };
    };
    return { events, grow, tick: () => tick?.(), isTicking: () => tick !== null, state: () => report, looks };
  }

  /** Reads what there is now. */
  async function take(reader: {
    read(): Promise<{ value?: Uint8Array | undefined }>;
  }): Promise<{ event: string; data: unknown }[]> {
    const { value } = await reader.read();
    return value ? eventsIn(new TextDecoder().decode(value)) : [];
  }

  test("are the report, and then what changed: both make the same state", async () => {
    const { events, grow, tick, state } = byHand();
    const reader = events.open(() => {}).getReader();
    let [{ event, data }] = (await take(reader)) as [{ event: string; data: unknown }];
    let mine = data as Report;
    expect(event).toBe("report");
    const kinds: string[] = [];
    for (let second = 0; second < 5; second++) {
      grow();
      tick();
      [{ event, data }] = (await take(reader)) as [{ event: string; data: unknown }];
      kinds.push(event);
      mine = event === "report" ? (data as Report) : applyChange(mine, data as Change);
      expect(mine).toEqual(state());
    }
    expect(kinds).toEqual(["report", "change", "change", "change", "change"]);
  });

  test("are made once for all, and only while somebody reads", async () => {
    const { events, tick, isTicking, looks } = byHand();
    expect(isTicking()).toBe(false);
    const readers = Array.from({ length: 5 }, () => events.open(() => {}).getReader());
    const before = looks.count;
    tick();
    expect(looks.count).toBe(before + 1);
    await Promise.all(readers.map((reader) => reader.cancel()));
    expect([isTicking(), events.readers()]).toEqual([false, 0]);
  });

  test("wait for a reader that is slow, begin anew when it has caught up, and leave one that never does", async () => {
    const { events, grow, tick, state } = byHand();
    let abandoned = 0;
    const slow = events.open(() => abandoned++).getReader();
    for (let second = 0; second < 9; second++) {
      grow();
      tick();
    }
    expect((await take(slow)).map(({ event }) => event)).toEqual(["report"]);
    tick();
    expect(await take(slow)).toEqual([{ event: "report", data: state() }]);
    expect(events.readers()).toBe(1);
    tick();
    for (let second = 0; second < 10; second++) tick();
    expect([events.readers(), abandoned]).toEqual([0, 1]);
  });

  test("have room for a bounded number of readers", async () => {
    const url = await start();
    const responses = await Promise.all(
      Array.from({ length: MOST_READERS + 3 }, () => fetch(`${url}events`)),
    );
    const statuses = responses.map(({ status }) => status).sort();
    expect(statuses).toEqual([...Array(MOST_READERS).fill(200), 503, 503, 503]);
    await Promise.all(responses.map((response) => response.body?.cancel()));
  });

  test("end with the run: the last one says so", async () => {
    const { source, report } = madeSource();
    const web = await startWeb({ host: "127.0.0.1", port: 0, token: null }, source);
    const response = await fetch(`${web.url}events`);
    report.isRunning = false;
    const text = response.text();
    await web.close();
    const last = eventsIn(await text).at(-1)!;
    expect((last.data as Report).isRunning ?? (last.data as Change).rest.isRunning).toBe(false);
  });
});
