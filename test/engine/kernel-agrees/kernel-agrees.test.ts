/**
 * The engine against Linux's TCP: what it sends is taken without a reset, a challenge, a duplicate or a time-out, as the
 * target's own counters say, and its application reads exactly the clients' bytes.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ip, TARGET } from "../../../src/demo/network.ts";
import type { EngineCounter } from "../../../src/engine/sessions/counters.ts";
import { createLab, type Lab } from "../../support/lab.ts";
import { losePackets } from "../../support/loss.ts";
import { type Running, run } from "../../support/process.ts";
import { faultOfResult } from "../books.ts";
import { parseScript, type Script } from "../script.ts";
import type { Job } from "./agent.ts";
import { type Load, scriptBytes, streamOf } from "./clients.ts";

const PORT = 8080;
const SCRIPTS = join(import.meta.dir, "../scripts");

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
  // Our connections are none of this host's own TCP, which would reset them; packet sockets see them before.
  const rules = `table ip responses {\n chain arriving {\n type filter hook prerouting priority raw\n iifname back tcp sport ${PORT} drop\n }\n}`;
  run(lab.online, "nft", rules);
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

type Counters = Record<string, number>;

/** The counters of the target's TCP. */
function kernelCounters(): Counters {
  const counters: Counters = {};
  for (const file of ["/proc/net/snmp", "/proc/net/netstat"]) {
    const lines = run(lab.target, "cat", file).trim().split("\n");
    for (let i = 0; i < lines.length; i += 2) {
      const [prefix, ...names] = lines[i]!.split(/\s+/);
      if (!["Tcp:", "TcpExt:"].includes(prefix!)) continue;
      const values = lines[i + 1]!.split(/\s+/).slice(1);
      for (const [j, name] of names.entries()) counters[name] = Number(values[j]);
    }
  }
  return counters;
}

/** What must not happen on a network that loses nothing. */
const TROUBLE = [
  "InErrs",
  "InCsumErrors",
  "OutRsts",
  "AttemptFails",
  "EstabResets",
  "RetransSegs",
  "TCPChallengeACK",
  "TCPSYNChallenge",
  "TCPDSACKOldSent",
  "TCPDSACKOfoSent",
  "TCPDSACKRecv",
  "TCPDSACKOfoRecv",
  "TCPSpuriousRTOs",
  "TCPTimeouts",
  "TCPLostRetransmit",
  "TCPOFOQueue",
  "TCPRcvPruned",
  "TCPAbortOnData",
  "TCPAbortOnTimeout",
  "TCPAbortOnClose",
  "PAWSEstab",
  "PAWSActive",
  "TCPACKSkippedSeq",
  "TCPACKSkippedPAWS",
  "ListenOverflows",
  "ListenDrops",
  "TCPReqQFullDrop",
  "TCPZeroWindowDrop",
] as const;
type Trouble = (typeof TROUBLE)[number];

interface Outcome {
  engine: Record<EngineCounter | "sendErrors" | "longestPause", number>;
  /** Connections as the server has read them: "bytes md5 how". */
  connections: string[];
  /** Counters of the target's TCP that grew. */
  kernel: Counters;
  /** Those of TROUBLE that grew. */
  trouble: Partial<Record<Trouble, number>>;
}

async function startServer(mode: string): Promise<Running> {
  const server = lab.start(lab.target, [
    process.execPath,
    join(import.meta.dir, "server.ts"),
    `${PORT}`,
    mode,
  ]);
  await server.line(/listening/);
  return server;
}

/** Runs the engine against the server that listens. */
async function runAgent(job: Job): Promise<Omit<Outcome, "connections">> {
  const before = kernelCounters();
  const agent = lab.start(lab.online, [
    process.execPath,
    join(import.meta.dir, "agent.ts"),
    TARGET,
    `${PORT}`,
    JSON.stringify(job),
  ]);
  expect(await agent.exited, agent.errors.join("\n")).toBe(0);
  const after = kernelCounters();
  const grown = Object.keys(after).filter((name) => after[name]! > before[name]!);
  const kernel = Object.fromEntries(grown.map((name) => [name, after[name]! - before[name]!]));
  const trouble = Object.fromEntries(
    TROUBLE.filter((name) => kernel[name]).map((name) => [name, kernel[name]]),
  );
  const engine = JSON.parse(agent.output.at(-1)!) as Outcome["engine"];
  expect(faultOfResult(engine)).toBe("");
  expect(engine.sendErrors).toBe(0);
  return { engine, kernel, trouble };
}

/** us without a round after which the target's kernel may send again what it has sent (a tail loss probe, RFC 8985). */
const STALL = 5000;
const TRIES = 5;

/**
 * Runs the engine against a server of that mode, to the end of both; again where the machine was so busy that the kernel had
 * reason to doubt, or the server did not get to accept what was connected.
 */
async function agree(mode: string, job: Job): Promise<Outcome> {
  for (let tries = 1; ; tries++) {
    const server = await startServer(mode);
    const outcome = await runAgent(job);
    const connections = await stopped(server);
    const { RetransSegs, ListenOverflows } = outcome.trouble;
    const isDisturbed =
      (RetransSegs !== undefined && outcome.engine.longestPause > STALL) || ListenOverflows !== undefined;
    if (!isDisturbed || tries === TRIES) return { ...outcome, connections };
  }
}

async function stopped(server: Running): Promise<string[]> {
  await server.stop();
  expect(server.errors).toEqual([]);
  return server.output.filter((line) => line !== "listening").sort();
}

const ORDINARY: Load = {
  sessions: 1,
  spread: 0,
  requests: [100],
  pace: 1000,
  closing: 1000,
  segment: 1448,
  gap: 0,
  end: "fin",
  syn: true,
  answer: 300,
};

function digest(bytes: Uint8Array): string {
  return `${bytes.length} ${createHash("md5").update(bytes).digest("hex")}`;
}

/** What the server reads of every session of a load. */
function expected(load: Load, how: string): string[] {
  return Array.from({ length: load.sessions }, (_, i) => `${digest(streamOf(load, i))} ${how}`).sort();
}

describe("a network that loses nothing", () => {
  test("ordinary sessions", async () => {
    const load = {
      ...ORDINARY,
      sessions: 20,
      spread: 2000,
      requests: [100, 2000, 1, 40_000, 500],
      pace: 10_000,
    };
    const { engine, connections, trouble } = await agree("lines", { load, linger: 3_000_000 });
    expect(connections).toEqual(expected(load, "end"));
    expect(trouble).toEqual({});
    expect(engine.turnsSent).toBe(100);
    expect(engine.turnsAnswered).toBe(100);
    expect(engine.closed).toBe(20);
    expect(engine.retransmitted).toBe(0);
  });

  test("many short sessions", async () => {
    const load = { ...ORDINARY, sessions: 3000, spread: 300 };
    const { engine, connections, trouble } = await agree("lines", { load, linger: 3_000_000 });
    expect(connections).toEqual(expected(load, "end"));
    expect(trouble).toEqual({});
    expect(engine.turnsAnswered).toBe(3000);
    expect(engine.retransmitted).toBe(0);
  });

  test("a large upload", async () => {
    const load = { ...ORDINARY, requests: [20_000_000, 100], segment: 65_160, gap: 500 };
    const { engine, connections, trouble } = await agree("lines", { load, linger: 10_000_000 });
    expect(connections).toEqual(expected(load, "end"));
    expect(trouble).toEqual({});
    expect(engine.turnsAnswered).toBe(2);
    expect(engine.retransmitted).toBe(0);
  });

  test("a slow reader closes its window, and opens it again", async () => {
    run(lab.target, "sysctl", "-qw", "net.ipv4.tcp_rmem=4096 16384 16384");
    const load = { ...ORDINARY, requests: [400_000], segment: 65_160 };
    const { engine, connections, trouble, kernel } = await agree("slow", { load, linger: 30_000_000 });
    run(lab.target, "sysctl", "-qw", "net.ipv4.tcp_rmem=4096 131072 6291456");
    expect(connections).toEqual(expected(load, "end"));
    expect(kernel.TCPToZeroWindowAdv).toBeGreaterThan(0);
    // A probe of a closed window is dropped, by its nature.
    const { TCPZeroWindowDrop: _, ...rest } = trouble;
    expect(rest).toEqual({});
    expect(engine.turnsAnswered).toBe(1);
  });

  test("sessions that close at the same time as the target", async () => {
    // The target closes at 101 ms, the client at 130 ms, each hears of the other's FIN later.
    const load: Load = {
      ...ORDINARY,
      sessions: 50,
      spread: 1000,
      pace: 100_000,
      closing: 30_000,
      end: "half-close",
    };
    const { engine, connections, trouble } = await agree("hasty", { load, delay: 60_000, linger: 5_000_000 });
    expect(connections).toEqual(expected(load, "end"));
    expect(trouble).toEqual({});
    expect(engine.closed).toBe(50);
  });

  test("sessions that half-close", async () => {
    const load: Load = { ...ORDINARY, sessions: 50, spread: 1000, requests: [5000], end: "half-close" };
    const { engine, connections, trouble } = await agree("lines", { load, linger: 5_000_000 });
    expect(connections).toEqual(expected(load, "end"));
    expect(trouble).toEqual({});
    expect(engine.turnsAnswered).toBe(50);
    expect(engine.closed).toBe(50);
  });

  test("sessions that the client resets", async () => {
    const load: Load = { ...ORDINARY, sessions: 50, spread: 1000, requests: [5000, 100], end: "rst" };
    const { engine, connections, trouble } = await agree("lines", { load, linger: 5_000_000 });
    expect(connections).toEqual(expected(load, "ECONNRESET"));
    expect(trouble).toEqual({ EstabResets: 50 });
    expect(engine.turnsAnswered).toBe(100);
    expect(engine.resetSessions).toBe(50);
  });

  test("sessions that the target closes after each response are opened again", async () => {
    const load: Load = {
      ...ORDINARY,
      sessions: 20,
      spread: 1000,
      requests: [100, 200, 300],
      pace: 50_000,
      closing: 50_000,
    };
    const { engine, connections, trouble } = await agree("hasty", { load, linger: 5_000_000 });
    const each = Array.from({ length: 20 }, (_, i) =>
      load.requests.map((length, j) => streamPart(load, i, j, length)),
    );
    expect(connections).toEqual(each.flat().sort());
    expect(trouble).toEqual({});
    expect(engine.reconnected).toBe(40);
    expect(engine.turnsSent).toBe(60);
  });

  test("a source port is used again while the target still remembers it", async () => {
    const load: Load = { ...ORDINARY, sessions: 30, spread: 80_000, pace: 10_000 };
    const { engine, connections, trouble, kernel } = await agree("hasty", {
      load,
      ports: [20_000, 20_004],
      linger: 5_000_000,
    });
    expect(connections).toEqual(expected(load, "end"));
    // The target closed first: it is the one that rests.
    expect(kernel.TW ?? 0).toBeGreaterThanOrEqual(0);
    expect(trouble).toEqual({});
    expect(engine.turnsSent).toBe(30);
    expect(engine.retransmitted).toBe(0);
  });

  test("connections that a killed run left open at the target are reset, and their ports used again", async () => {
    const server = await startServer("lines");
    const ports: [number, number] = [20_000, 20_009];
    const left: Load = { ...ORDINARY, sessions: 10, requests: [200], end: "none" };
    await runAgent({ load: left, ports, isKilled: true, linger: 300_000 });
    const load: Load = { ...ORDINARY, sessions: 10 };
    const { engine, trouble } = await runAgent({ load, ports, linger: 5_000_000 });
    expect(await stopped(server)).toEqual([...expected(left, "ECONNRESET"), ...expected(load, "end")].sort());
    expect(engine.turnsAnswered).toBe(10);
    expect(engine.closed).toBe(10);
    // A SYN within a connection counts as an error, too.
    expect(trouble).toEqual({ EstabResets: 10, InErrs: 10, TCPChallengeACK: 10, TCPSYNChallenge: 10 });
  });

  test("an MTU of 1280", async () => {
    ip("-n", lab.online, "link", "set", "back", "mtu", "1280");
    ip("-n", lab.target, "link", "set", "net0", "mtu", "1280");
    const load = { ...ORDINARY, sessions: 5, requests: [300_000, 100] };
    const { engine, connections, trouble } = await agree("lines", { load, linger: 5_000_000 });
    ip("-n", lab.online, "link", "set", "back", "mtu", "1500");
    ip("-n", lab.target, "link", "set", "net0", "mtu", "1500");
    expect(connections).toEqual(expected(load, "end"));
    expect(trouble).toEqual({});
    expect(engine.turnsAnswered).toBe(10);
  });
});

/** What the server reads of one request of a session. */
function streamPart(load: Load, session: number, index: number, length: number): string {
  const begin = load.requests.slice(0, index).reduce((sum, one) => sum + one, 0);
  return `${digest(streamOf(load, session).subarray(begin, begin + length))} end`;
}

describe("a network that loses 5 % each way", () => {
  test("sessions of all kinds arrive whole", async () => {
    const loss = losePackets(lab.target, "net0", PORT, 5);
    const load = {
      ...ORDINARY,
      sessions: 60,
      spread: 10_000,
      requests: [100, 20_000, 1, 5000],
      pace: 20_000,
    };
    const { engine, connections, trouble } = await agree("lines", { load, linger: 60_000_000 });
    const dropped = loss.dropped();
    loss.remove();
    expect(dropped.in).toBeGreaterThan(0);
    expect(dropped.out).toBeGreaterThan(0);
    // Three SYNs of a session in a row may be lost: 1 in 1,000.
    const { failed } = engine;
    expect(failed).toBeLessThanOrEqual(2);
    expect(engine["dropped.unreachable"]).toBe(4 * failed);
    expect(connections.length).toBe(60 - failed);
    expect(new Set(connections).size).toBe(60 - failed);
    expect(connections.filter((line) => !expected(load, "end").includes(line))).toEqual([]);
    expect(engine.turnsSent).toBe(240 - 4 * failed);
    expect(engine.turnsAnswered).toBe(240 - 4 * failed);
    expect(engine.closed).toBe(60 - failed);
    expect(engine.retransmitted).toBeGreaterThan(0);
    for (const name of ["InErrs", "OutRsts", "TCPChallengeACK", "PAWSEstab", "ListenDrops"] as const) {
      expect([name, trouble[name]]).toEqual([name, undefined]);
    }
  });
});

/**
 * What the target must read by a script: the data that its expected segments carry, by connection. Null where the script
 * is about something that this server does not do, or takes long.
 */
function expectedOfScript(script: Script, session: number): string[] | null {
  const connections: Uint8Array[] = [];
  let length = 0;
  for (const { to, event } of script.lines) {
    length += to;
    if (event.kind === "tooBig" || Object.keys(script.options).length > 0 || length > MOST_SCRIPT)
      return null;
    if (event.kind === "count") continue;
    const { segment, flow } = event;
    if (segment.isNew || (event.kind === "capture" && flow > 1) || flow >= 9) return null;
    if (event.kind !== "expect") continue;
    if (segment.flags === SYN) connections.push(new Uint8Array(0));
    const known = connections[(flow || connections.length) - 1]!;
    const fresh = segment.seq + segment.length - 1 - known.length;
    if (segment.length === 0 || fresh <= 0) continue;
    const from = (segment.data ?? segment.seq) + segment.length - fresh;
    connections[(flow || connections.length) - 1] = Buffer.concat([known, scriptBytes(session, from, fresh)]);
  }
  return connections.map(digest);
}
const SYN = 2;
/** us. */
const MOST_SCRIPT = 3_000_000;
/** Scripts whose target does what any server does. */
const ORDINARY_SCRIPTS = /^(handshake|client|turn|ack|silly-window-in|window-scale)/;

test("the clients of the scripts", async () => {
  const scripts = readdirSync(SCRIPTS)
    .filter((name) => ORDINARY_SCRIPTS.test(name))
    .map((name) => parseScript(name, readFileSync(join(SCRIPTS, name), "utf8")))
    .filter((script) => expectedOfScript(script, 0) !== null);
  const job = { scripts: scripts.map(({ name }) => name), linger: 2_000_000 };
  const { connections, trouble } = await agree("pieces", job);
  const wanted = scripts.flatMap((script, session) =>
    expectedOfScript(script, session)!.map((digest): [string, string] => [digest, script.name]),
  );
  const nameOf = new Map(wanted);
  const read = connections.map((line) => line.split(" ").slice(0, 2).join(" "));
  expect(read.map((digest) => nameOf.get(digest) ?? digest).sort()).toEqual(
    wanted.map(([digest]) => nameOf.get(digest)!).sort(),
  );
  expect(scripts.length).toBeGreaterThan(30);
  // Clients that reset, and the end of the run.
  const { EstabResets: _, ...rest } = trouble;
  expect(rest).toEqual({});
});
