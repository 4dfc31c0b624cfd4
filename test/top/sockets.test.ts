/** The sockets of copies: what a killed one left is removed, what is in use is not; `xcopy top` asks those that answer. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeStaleSockets } from "../../src/host/top-sockets.ts";
import { Copies } from "../../src/top/copies.ts";

const undo: (() => void)[] = [];
afterEach(() => {
  for (const end of undo.splice(0).reverse()) end();
});

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), "xcopy-top-"));
  undo.push(() => rmSync(made, { recursive: true }));
  return made;
}

/** A copy that answers on this socket; `sent` requests more with each answer. */
function serve(path: string, sent = 0): void {
  let total = 0;
  const server = Bun.serve({
    unix: path,
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/api/report") return Response.json({ services: ["80-a"] });
      if (pathname === "/api/reload") return Response.json({ name: "shop" });
      total += sent;
      return Response.json({ seconds: 10, turns: { sent: total } });
    },
  });
  undo.push(() => server.stop(true));
}

/** The socket of a process that was killed. */
function leave(path: string): void {
  const script = `Bun.serve({ unix: ${JSON.stringify(path)}, fetch: () => new Response() }); process.kill(process.pid, 9);`;
  Bun.spawnSync([process.execPath, "-e", script]);
  expect(existsSync(path)).toBe(true);
}

test("what killed copies left is removed, also where another process has their number; the rest stays", async () => {
  const at = directory();
  const pids = [2 ** 30, process.pid, 1, 2 ** 30 + 1];
  const [dead, reused, young, alive] = pids.map((pid) => `${at}/top-${pid}.sock`);
  for (const path of [dead!, reused!, young!]) leave(path);
  const before = Date.now() / 1000 - 60;
  utimesSync(reused!, before, before);
  serve(alive!);
  expect((await removeStaleSockets(at)).sort()).toEqual([dead!, reused!].sort());
  expect([young!, alive!].map((path) => existsSync(path))).toEqual([true, true]);
  expect(await removeStaleSockets(`${at}/none`)).toEqual([]);
});

test("copies that answer are shown with their rates; one that has ended is not", async () => {
  const at = directory();
  const sockets = [1, 2].map((pid) => ({ pid, path: `${at}/top-${pid}.sock` }));
  serve(sockets[0]!.path, 100);
  leave(sockets[1]!.path);
  const copies = new Copies(() => sockets);
  expect(await copies.look()).toEqual([
    {
      pid: 1,
      name: "shop",
      services: ["80-a"],
      account: { seconds: 10, turns: { sent: 100 } } as never,
      rate: 10,
    },
  ]);
  const [again] = await copies.look();
  expect(again!.rate).toBeGreaterThan(10);
  expect(copies.mute).toEqual([]);
  expect(await copies.report(1)).toMatchObject({ services: ["80-a"] });
  expect(await copies.report(2)).toBeNull();
  expect(await copies.report(3)).toBeNull();
});

test("a copy that answers with something else is named", async () => {
  const path = `${directory()}/top-1.sock`;
  const server = Bun.serve({ unix: path, fetch: () => new Response("no", { status: 503 }) });
  undo.push(() => server.stop(true));
  const copies = new Copies(() => [{ pid: 1, path }]);
  expect(await copies.look()).toEqual([]);
  expect(copies.mute).toEqual([{ pid: 1, cause: "/api/report: 503" }]);
});
