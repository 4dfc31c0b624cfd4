/** Answers that a protocol module reads come whole by an assistant and a netfilter queue, and only for copies that read them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { startFakeCopy } from "../support/fake-copies.ts";
import { startIntercept } from "../support/intercept.ts";
import { kernelObjects, stillThere } from "../support/kernel-objects.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { stopData } from "../support/loss.ts";
import type { MariaDb } from "../support/mariadb.ts";
import { startNginx } from "../support/nginx.ts";
import { startPool } from "../support/pool.ts";
import { run } from "../support/process.ts";
import { startScript, startService } from "../support/scripts.ts";
import {
  arrived,
  clientCommand,
  countersOf,
  loadShop,
  settled,
  since,
  startShop,
  TRANSFER,
  USERS,
} from "../support/shop.ts";
import { createThird, setForwarding, THIRD } from "../support/third.ts";
import { until } from "../support/until.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
let third: string;
let online: MariaDb;
let target: MariaDb;

beforeAll(async () => {
  lab = createLab({ manyClients: false });
  third = createThird(lab);
  setForwarding(third, true);
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Where nft fails the rules are made by iptables. */
const WITHOUT_NFT = ["unshare", "-m", "sh", "-c", 'mount --bind /bin/false /usr/sbin/nft && exec "$@"', "sh"];

interface Way {
  name: string;
  host: () => string;
  at: string;
  source: string;
  args: string[];
  prefix?: string[];
}

const ROUTED = ["-o", "10.0.0.2:3306,10.0.0.2:8080", "--linger", "1"];
const QUEUED = ["--mode", "nfqueue", "-o", ":3306,:8080"];
const assistant = { host: () => third, at: THIRD };
const queue = { host: () => lab.target, at: TARGET };
const WAYS: Way[] = [
  { ...assistant, name: "an assistant, by tc", source: "tcx", args: ROUTED },
  {
    ...assistant,
    name: "an assistant, by XDP",
    source: "xdp",
    args: [...ROUTED, "--hook", "xdp"],
  },
  {
    ...queue,
    name: "a queue, by iptables",
    source: "iptables",
    args: QUEUED,
    prefix: WITHOUT_NFT,
  },
];

const start = ({ host, at, args, prefix = [] }: Way) =>
  startIntercept(lab, host(), [...args, "-b", at], { prefix });

/** Bytes of each packet that the reader of the target's queue gets. */
function copyRange(): number {
  return Number(run(lab.target, "cat", "/proc/net/netfilter/nfnetlink_queue").trim().split(/\s+/)[4]);
}

/** Runs SQL as a client of the service. */
function client(user: string, password: string, sql: string): string {
  return run(lab.client, ...clientCommand(user, password, sql)).trim();
}

describe.each(WAYS)("$name", (way) => {
  test("MySQL: both sides count and hold the same, answers of any length", async () => {
    [online, target] = await startShop(lab);
    const intercept = await start(way);
    const copy = await startCopy(lab, ["-s", way.at, ...TRANSFER, ...USERS]);
    const before = [countersOf(online), countersOf(target)];
    await loadShop(lab, copy, [online, target], "auto", 8);
    client("strong", "online-2", "CREATE TABLE s (x INT PRIMARY KEY, y TEXT)");
    await arrived(online, target, "s");
    const rows = "SELECT seq, REPEAT('y', 4000) FROM seq_1_to_1000";
    client("shop", "online-1", `INSERT INTO s ${rows}; SELECT * FROM s; INSERT INTO s VALUES (1001, 'end')`);
    await settled(copy);
    const { code, report } = await copy.stop();
    const { account } = await intercept.stop();
    const [there, here] = [since(before[0]!, countersOf(online)), since(before[1]!, countersOf(target))];
    expect(here).toEqual(there);
    await arrived(online, target, "sbtest1", "sbtest2", "s");
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(report.mysql).toMatchObject({ not_understood: 0, reconnected: 0, errors: { target: 0 } });
    expect(account).toMatchObject({ source: way.source, responses: { cut: 0, inert: 0 } });
    expect(account.responses.bytes).toBeGreaterThan(4_000_000);
    expect(code).toBe(0);
  });

  test("HTTP: a request waits for the end of a response that is larger than a packet, and pauses", async () => {
    const size = `${3 << 20}`;
    const from = await startService(lab, lab.online, "halting.ts", "80", "0", size);
    const to = await startService(lab, lab.target, "halting.ts", "8080", "300", size);
    const intercept = await start(way);
    const copy = await startCopy(lab, ["-s", way.at, "-x", `80-${TARGET}:8080`, "--protocol", "http"]);
    expect(await startScript(lab, lab.client, "keep-alive.ts", ONLINE, "80", "5").exited).toBe(0);
    await copy.report("all responses", ({ turns }) => turns.answered === 5);
    // The last one has begun by then.
    await intercept.report("their ends", ({ responses }) => responses.bytes > 5 * Number(size));
    const { report } = await copy.stop();
    const { account } = await intercept.stop();
    expect(from.output.slice(1)).toEqual(["1", "2", "3", "4", "5"]);
    // A request that came before the end of the answer before would be said to be early.
    expect(to.output.slice(1)).toEqual(["1", "2", "3", "4", "5"]);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toEqual({ captured: 5, sent: 5, answered: 5, dropped: 0, pending: 0 });
    expect(account.responses.cut).toBe(0);
  });

  test("two copies: one reads payload, the other gets headers, whether the first is connected or not", async () => {
    [online, target] = await startShop(lab);
    await startNginx(lab, lab.target, 8080);
    // The target remembers the connections of earlier tests for a while.
    const firstPort = 10_000 + WAYS.indexOf(way) * 10_000;
    const intercept = await start(way);
    const fake = startFakeCopy(lab, lab.online, {
      intercept: way.at,
      target: TARGET,
      targetPort: 8080,
      clients: ["10.1.0.5", "10.1.0.6"],
      by: "register",
      sessions: 1_000_000,
      together: 2,
      firstPort,
    });
    const more = async () => {
      const { ok } = fake.events().findLast(({ kind }) => kind === "report") as unknown as { ok: number };
      await fake.event<{ ok: number }>("report", (report) => report.ok > ok + 20);
    };
    await fake.event<{ ok: number }>("report", ({ ok }) => ok > 20);
    const copy = await startCopy(lab, ["-s", way.at, ...TRANSFER, ...USERS]);
    client("shop", "online-1", "SELECT seq, REPEAT('y', 900) FROM seq_1_to_500; INSERT INTO a VALUES (1)");
    await settled(copy);
    await more();
    await intercept.report("two copies", ({ clients }) => clients === 2);
    if (way.host === queue.host) expect(copyRange()).toBe(65531);
    const { report } = await copy.stop();
    await intercept.report("one copy", (account) => account === intercept.last() && account.clients === 1);
    await more();
    if (way.host === queue.host) expect(copyRange()).toBe(192);
    expect(target.sql("SELECT x FROM shop.a")).toBe("1");
    expect(report.mysql).toMatchObject({ logins: 1, not_understood: 0, errors: { target: 0 } });
    expect(fake.events().findLast(({ kind }) => kind === "report")).toMatchObject({ failed: 0, payload: 0 });
    const { account } = await intercept.stop();
    expect(account.responses.cut).toBe(0);
  });
});

test("greetings are read also if the registration comes after the target's SYN-ACK", async () => {
  [online, target] = await startShop(lab);
  const way = WAYS[0]!;
  const intercept = await start(way);
  const copy = await startCopy(lab, ["-s", way.at, ...TRANSFER, ...USERS]);
  // The intercept is heard of all the time, and does not hear of the connection.
  const goOn = stopData(third, "up", 36524);
  try {
    client("shop", "online-1", "INSERT INTO a VALUES (1)");
    await intercept.report("a response that is held", ({ held }) => held > 0);
  } finally {
    goOn();
  }
  await copy.report("the session", ({ mysql }) => mysql?.answered.query === 1);
  await arrived(online, target, "a");
  await intercept.report("what was held is released", ({ released, held }) => released > 0 && held === 0);
  const { report } = await copy.stop();
  const { account } = await intercept.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.mysql).toMatchObject({ logins: 1, not_understood: 0, errors: { target: 0 } });
  expect(account.released).toBeGreaterThan(0);
  expect(account.responses.cut).toBe(0);
});

/** What a process has in the kernel, which is gone when it was killed and its guard has ended. */
async function kill(running: { pid: number; stop(signal: NodeJS.Signals): Promise<number> }): Promise<void> {
  const objects = kernelObjects(running.pid);
  expect(objects.length).toBeGreaterThan(0);
  await running.stop("SIGKILL");
  await until("the kernel to free everything", () => stillThere(objects).length === 0);
}

test("an assistant's intercept and its copy are killed: nothing stays, sessions go on, no response is lost", async () => {
  [online, target] = await startShop(lab);
  const way = WAYS[0]!;
  let intercept = await start(way);
  const copy = await startCopy(lab, ["-s", way.at, ...TRANSFER, ...USERS, "--mysql-database", "shop"]);
  const pool = await startPool(lab, "shop", "online-1", 4);
  await pool.rounds(2);
  await settled(copy);
  // The answer comes when nobody catches it: the target sends it again. Meanwhile the host forwards nothing: a client would reset
  // the target's connection.
  setForwarding(way.host(), false);
  const slow = lab.start(
    lab.client,
    clientCommand("shop", "online-1", "SELECT SLEEP(2); INSERT INTO a VALUES (1)"),
  );
  await copy.report("the slow statement", ({ turns }) => turns.pending > 0);
  await kill(intercept.running);
  expect(await slow.exited).toBe(0);
  await pool.rounds(2);
  intercept = await start(way);
  setForwarding(way.host(), true);
  await settled(copy);
  await arrived(online, target, "pool", "a");
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(copy.reports().at(-1)!.mysql).toMatchObject({ not_understood: 0, errors: { only_target: 0 } });

  await kill(copy.running);
  const second = await startCopy(lab, ["-s", way.at, ...TRANSFER, ...USERS, "--mysql-database", "shop"]);
  client("shop", "online-1", "INSERT INTO a VALUES (2)");
  await settled(second);
  const { report } = await second.stop();
  expect(target.sql("SELECT COUNT(*) FROM shop.a")).toBe("2");
  expect(report.mysql).toMatchObject({ logins: 1, not_understood: 0, errors: { target: 0 } });
  expect((await intercept.stop()).account.responses.cut).toBe(0);
});
