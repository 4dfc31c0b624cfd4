/** Pairs of MySQL: what production and the target have answered to the same command. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Pair } from "../../src/pairs/pair.ts";
import type { MysqlConfig } from "../../src/protocol/mysql/config.ts";
import { Writer } from "../../src/protocol/mysql/packets/writer.ts";
import { seeded } from "../support/seed.ts";
import { Online, type Segment } from "./online.ts";
import { open, QUIT, query } from "./open.ts";
import { CAPABILITIES, command, error, greeting, login, number32, ok, prepared, result } from "./server.ts";

/** An OK packet that says how many rows were affected. */
const changed = (rows: number, sequence = 1, status = 2) =>
  new Writer().integer(0, 1).lengthEncoded(rows).integer(0, 1).integer(status, 2).zeros(2).packet(sequence);

/** A session that is logged in at both, of which each answer is captured. */
function ready(config: Partial<MysqlConfig> = {}, capabilities = CAPABILITIES, loginOptions = {}) {
  const pairs: Pair[] = [];
  const one = open({ trustLogins: false, ...config }, { take: (pair) => pairs.push(structuredClone(pair)) });
  const { host } = one;
  const online = new Online(host).open();
  online.say(greeting("mysql_native_password", { capabilities }));
  host.request(login("shop", loginOptions));
  online.say(ok(2));
  host.connect();
  host.response(greeting("mysql_native_password", { capabilities }));
  host.response(ok(2));
  host.sent = [];
  return { ...one, online, pairs };
}

/** What is asserted of most pairs. */
const brief = ({ outcome, method, name, production, target }: Pair) => [
  outcome,
  method,
  name,
  production && [production.status, production.count, production.bytes, production.end],
  target && [target.status, target.count, target.bytes, target.end],
];

describe("responses of both sides", () => {
  test("rows affected, errors with their messages, rows and sizes of results", () => {
    const { host, online, pairs } = ready();
    host.request(query("update t set a = 5 where b = 'x'"));
    online.say(changed(3));
    host.response(changed(2));
    host.request(query("insert into t values (1)"));
    online.say(changed(1));
    host.response(error(1, 1062, "Duplicate entry 'bob' for key 'PRIMARY'"));
    const [rows, fewer] = [result(3, false), result(2, false)];
    host.request(query("select a from t"));
    online.say(rows, 20);
    host.response(fewer, 7);
    expect(pairs.map(brief)).toEqual([
      ["compared", "query", "UPDATE t SET a = ? WHERE b = ?", [0, 3, 11, "complete"], [0, 2, 11, "complete"]],
      ["compared", "query", "INSERT INTO t VALUES (?)", [0, 1, 11, "complete"], [1062, -1, 52, "complete"]],
      [
        "compared",
        "query",
        "SELECT a FROM t",
        [0, 3, rows.length, "complete"],
        [0, 2, fewer.length, "complete"],
      ],
    ]);
    expect(Buffer.from(pairs[1]!.target!.head).toString()).toBe("Duplicate entry ?");
    expect(pairs[1]!.target!.isHeadWhole).toBe(true);
    expect(pairs.map(({ service, copy, path }) => [service, copy, path])).toEqual([
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });

  test("times count from the command as it was captured, and as it was sent", () => {
    const { host, online, pairs } = ready();
    host.time = 1e6;
    host.request(query("select 1"));
    const parts = online.segments(result(3, false), 30);
    for (const [index, part] of parts.entries()) online.capture(part, 1e6 + 100 * (index + 1));
    host.time = 2e6;
    const answer = result(3, false);
    host.response(answer.subarray(0, 20));
    host.time = 2e6 + 50;
    host.response(answer.subarray(20));
    const [{ at, production, target }] = pairs as [Pair];
    expect(at).toBe(1e6);
    expect([production!.firstByte, production!.lastByte]).toEqual([100, 100 * parts.length]);
    expect(target!.lastByte - target!.firstByte).toBe(50);
  });

  test("several results are one response, with the rows of all", () => {
    const { host, online, pairs } = ready();
    const answer = Buffer.concat([result(2, false, true), result(3, false)]);
    // The numbers of the packets go on.
    for (let at = 0, number = 1; at < answer.length; at += 4 + answer.readUIntLE(at, 3))
      answer[at + 3] = number++;
    host.request(query("select 1; select 2"));
    online.say(answer);
    host.response(changed(1, 1, 10));
    host.response(changed(4, 2));
    expect(pairs.map(brief)).toEqual([
      ["compared", "query", "SELECT ? ; SELECT ?", [0, 5, answer.length, "complete"], [0, 5, 22, "complete"]],
    ]);
  });

  test("a statement that is prepared gives its name to what is done with it", () => {
    const { host, online, pairs } = ready();
    host.request(command(0x16, "select a from t where b = ? and c = 'x'"));
    online.say(prepared(7, 0, false));
    host.response(prepared(9, 0, false));
    host.request(command(0x17, number32(7), Uint8Array.of(0, 1, 0, 0, 0)));
    online.say(result(1, false));
    host.response(result(1, false));
    host.request(command(0x19, number32(7)));
    host.request(command(0x17, number32(7), Uint8Array.of(0, 1, 0, 0, 0)));
    online.say(error(1, 1243, "Unknown prepared statement handler"));
    host.request(command(0x0e));
    online.say(ok(1));
    host.response(ok(1));
    const name = "SELECT a FROM t WHERE b = ? AND c = ?";
    expect(pairs.map(({ outcome, method, name }) => [outcome, method, name])).toEqual([
      ["compared", "prepare", name],
      ["compared", "execute", name],
      ["notSent", "execute", "?"],
      ["compared", "ping", "COM_PING"],
    ]);
  });

  test("LOAD DATA LOCAL is two: the statement, and the file", () => {
    const { host, online, pairs } = ready();
    const wish = new Writer().integer(0xfb, 1).put(Buffer.from("a.csv")).packet(1);
    host.request(query("load data local infile 'a.csv' into table t"));
    online.say(wish);
    host.response(wish);
    host.request(new Writer().put(Buffer.from("1,2\n")).packet(2));
    host.request(new Writer().packet(3));
    online.say(changed(1, 4));
    host.response(changed(2, 4));
    const name = "LOAD DATA LOCAL INFILE ? INTO TABLE t";
    expect(pairs.map(brief)).toEqual([
      ["compared", "query", name, [0, -1, 10, "complete"], [0, -1, 10, "complete"]],
      ["compared", "local_data", name, [0, 1, 11, "complete"], [0, 2, 11, "complete"]],
    ]);
  });

  test("COM_CHANGE_USER has the exchange before its response", () => {
    const { host, online, pairs } = ready();
    host.request(command(0x11, "shop\0\0shop\0", Uint8Array.of(45, 0), "mysql_native_password\0"));
    online.say(new Writer().integer(0xfe, 1).put(Buffer.from("mysql_native_password\0")).zeros(21).packet(1));
    host.request(new Writer().zeros(20).packet(2));
    online.say(ok(3));
    host.response(ok(1));
    expect(pairs.map(brief)).toEqual([
      ["compared", "change_user", "COM_CHANGE_USER", [0, -1, -1, "complete"], [0, -1, -1, "complete"]],
    ]);
  });
});

describe("what was not captured of production", () => {
  const big = result(100, false);

  test("a large result: its size by where the client had read to, no rows", () => {
    const { host, online, pairs } = ready();
    host.request(query("select a from t"));
    online.say(big);
    host.response(big);
    expect(pairs).toEqual([]);
    host.request(query("select b from t"));
    expect(pairs).toEqual([]);
    online.say(ok(1));
    expect(pairs.map(brief)).toEqual([
      [
        "compared",
        "query",
        "SELECT a FROM t",
        [0, -1, big.length, "complete"],
        [0, 100, big.length, "complete"],
      ],
    ]);
  });

  test("the last result of a session ends where the client had read to when it left, if the server ends there", () => {
    for (const [more, bytes, end] of [
      [0, big.length, "complete"],
      [1, -1, "unseen"],
    ] as const) {
      const { host, online, pairs } = ready();
      host.request(query("select a from t"));
      online.say(big);
      host.response(big);
      host.request(QUIT);
      online.seq += more;
      online.end();
      expect(pairs.map(brief)).toEqual([
        ["compared", "query", "SELECT a FROM t", [0, -1, bytes, end], [0, 100, big.length, "complete"]],
      ]);
    }
  });

  test("a client that sends a command in the middle of a large result does not say where it ends", () => {
    const { host, online, pairs } = ready();
    host.request(query("select a from t"));
    const segments = online.segments(big, 400);
    online.capture(segments[0]!);
    online.capture(segments[1]!);
    host.ack = segments[2]!.seq;
    host.request(query("select b from t"));
    for (const segment of segments.slice(2)) online.capture(segment);
    host.response(big);
    online.say(ok(1));
    host.response(ok(1));
    host.request(query("select c from t"));
    online.say(ok(1));
    host.response(ok(1));
    host.session.close();
    expect(
      pairs.map((pair) => [pair.name, pair.outcome, pair.production?.bytes, pair.production?.end]),
    ).toEqual([
      ["SELECT a FROM t", "compared", -1, "unseen"],
      ["SELECT b FROM t", "gap", undefined, undefined],
      ["SELECT c FROM t", "compared", 11, "complete"],
    ]);
  });

  test("nothing, or not its beginning", () => {
    const { host, online, pairs } = ready();
    host.request(query("select a from t"));
    online.segments(ok(1));
    host.response(ok(1));
    host.request(query("select b from t"));
    const [, ...others] = online.segments(result(9, false), 20);
    for (const segment of others) online.capture(segment);
    host.response(ok(1));
    host.request(query("select c from t"));
    online.say(ok(1));
    host.response(ok(1));
    host.session.close();
    expect(pairs.map(({ outcome, name }) => [outcome, name])).toEqual([
      ["target only", "SELECT a FROM t"],
      ["gap", "SELECT b FROM t"],
      ["compared", "SELECT c FROM t"],
    ]);
  });

  test("the login: then it is not known how long answers would be at the target", () => {
    const pairs: Pair[] = [];
    const { host } = open({ trustLogins: false }, { take: (pair) => pairs.push(pair) });
    const online = new Online(host);
    host.request(query("update t set a = 1"));
    online.say(changed(3));
    host.connect();
    host.response(greeting("mysql_native_password"));
    host.response(ok(2));
    host.response(changed(3));
    host.request(query("select a from t where b = 'it\\'s'"));
    online.say(result(2, false));
    host.response(result(2, false));
    host.request(query("select 1"));
    online.say(ok(1));
    expect(pairs.map(brief)).toEqual([
      ["compared", "query", "UPDATE t SET a = ?", [0, 3, -1, "complete"], [0, 3, 11, "complete"]],
      // Nor is it known whether a backslash escapes.
      [
        "compared",
        "query",
        "SELECT a FROM t WHERE b = ? ...",
        [0, -1, -1, "complete"],
        [0, 2, 59, "complete"],
      ],
    ]);
  });

  test("a compressed answer has no size on the wire that could be compared", () => {
    const { host, online, pairs } = ready({}, CAPABILITIES | 0x20, {
      capabilities: (0x01bf_a28d & ~0x0800) | 0x20,
    });
    const framed = (packet: Uint8Array, number: number) =>
      Buffer.concat([Uint8Array.of(packet.length, 0, 0, number, 0, 0, 0), packet]);
    host.request(framed(query("update t set a = 1"), 0));
    online.say(framed(changed(3), 1));
    host.response(framed(changed(3), 1));
    expect(pairs.map(brief)).toEqual([
      ["compared", "query", "UPDATE t SET a = ?", [0, 3, -1, "complete"], [0, 3, 11, "complete"]],
    ]);
  });
});

describe("what the target does not answer", () => {
  test("left-out and dropped commands, and those of a session without a password", () => {
    const { host, online, pairs } = ready({ readOnly: true });
    host.request(query("delete from t where a = 5"));
    online.say(changed(1));
    host.request(query("select a from t"));
    online.say(ok(1));
    host.response(ok(1));
    expect(pairs.map(({ outcome, name }) => [outcome, name])).toEqual([
      ["notSent", "DELETE FROM t WHERE a = ?"],
      ["compared", "SELECT a FROM t"],
    ]);
  });

  test("a connection that is lost: sent again, or not", () => {
    const { host, online, pairs } = ready();
    const relogin = () => {
      host.connect();
      host.response(greeting("mysql_native_password"));
      host.response(ok(2));
    };
    host.request(query("select a from t"));
    online.say(ok(1));
    host.disconnect(true);
    relogin();
    host.response(ok(1));
    host.request(query("select b from t"));
    online.say(ok(1));
    host.disconnect();
    relogin();
    host.request(query("select c from t"));
    online.say(ok(1));
    host.session.close();
    expect(pairs.map(({ outcome, name }) => [outcome, name])).toEqual([
      ["compared", "SELECT a FROM t"],
      ["production only", "SELECT b FROM t"],
      ["production only", "SELECT c FROM t"],
    ]);
  });

  test("more commands than are remembered", () => {
    const { host, pairs } = ready();
    for (let i = 0; i < 300; i++) host.request(query("select a from t"));
    host.session.close();
    const outcomes = Object.groupBy(pairs, ({ outcome }) => outcome);
    expect(
      Object.fromEntries(Object.entries(outcomes).map(([outcome, all]) => [outcome, all.length])),
    ).toEqual({
      tooMany: 44,
      ended: 1,
      notSent: 255,
    });
  });
});

describe("a client that sends commands without waiting", () => {
  test("has its responses told apart by their packets", () => {
    const { host, online, pairs } = ready();
    host.request(
      Buffer.concat([query("select a from t"), query("select b from t"), query("select c from t")]),
    );
    online.say(Buffer.concat([changed(1), result(2, false), changed(3)]), 9);
    for (const answer of [changed(1), result(2, false), changed(3)]) host.response(answer);
    expect(
      pairs.map((pair) => [pair.name, pair.outcome, pair.production?.count, pair.production?.bytes]),
    ).toEqual([
      ["SELECT a FROM t", "compared", 1, 11],
      ["SELECT b FROM t", "compared", 2, 59],
      ["SELECT c FROM t", "compared", 3, 11],
    ]);
  });
});

// What a session does, and in which order and pieces it is captured.
const KINDS = ["ok", "rows", "big", "error", "left out", "prepare"] as const;
const turns = fc.array(
  fc.record({
    /** Sent without waiting for the answers. */
    kinds: fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 3 }),
    size: fc.constantFrom(13, 100, 350, 1460),
    lost: fc.array(fc.nat(5), { maxLength: 1 }),
    isSwapped: fc.boolean(),
    isRepeated: fc.boolean(),
    targetFirst: fc.boolean(),
  }),
  { minLength: 1, maxLength: 10 },
);

test("every command ends as exactly one pair, and what is said of it is right", () => {
  const outcomes = new Map<string, number>();
  fc.assert(
    fc.property(turns, fc.boolean(), fc.boolean(), (session, isLossy, isPipelined) => {
      const { host, online, pairs } = ready({ readOnly: true });
      const asked = new Map<string, { answer: Uint8Array; rows: number; status: number }>();
      for (const { kinds, size, lost, isSwapped, isRepeated, targetFirst } of session) {
        const requests: Uint8Array[] = [];
        const answers: Uint8Array[] = [];
        const ofTarget: Uint8Array[] = [];
        for (const kind of isPipelined ? kinds : kinds.slice(0, 1)) {
          const table = `t_${String.fromCharCode(97 + asked.size / 26, 97 + (asked.size % 26))}`;
          const [answer, rows, status] = {
            ok: [changed(7), 7, 0] as const,
            rows: [result(3, false), 3, 0] as const,
            big: [result(200, false), 200, 0] as const,
            error: [error(1, 1146, `Table '${table}' doesn't exist`), -1, 1146] as const,
            "left out": [changed(2), 2, 0] as const,
            prepare: [prepared(asked.size, 0, false), -1, 0] as const,
          }[kind];
          const isLeftOut = kind === "left out";
          asked.set(isLeftOut ? `DELETE FROM ${table}` : `SELECT ? FROM ${table}`, { answer, rows, status });
          const sql = isLeftOut ? `delete from ${table}` : `select 5 from ${table}`;
          requests.push(kind === "prepare" ? command(0x16, sql) : query(sql));
          answers.push(answer);
          if (!isLeftOut) ofTarget.push(answer);
        }
        host.request(Buffer.concat(requests));
        const segments: Segment[] = online.segments(Buffer.concat(answers), size);
        let seen = isLossy ? segments.filter((_, index) => !lost.includes(index)) : segments;
        if (isSwapped && seen.length > 1) seen = [seen[1]!, seen[0]!, ...seen.slice(2)];
        if (isRepeated) seen = seen.flatMap((segment) => [segment, segment]);
        if (targetFirst) for (const answer of ofTarget) host.response(answer);
        for (const segment of seen) online.capture(segment);
        if (!targetFirst) for (const answer of ofTarget) host.response(answer);
      }
      host.request(QUIT);
      online.end();
      host.session.close();
      expect(pairs.map(({ name }) => name).sort()).toEqual([...asked.keys()].sort());
      for (const { name, outcome, production, target } of pairs) {
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        const { answer, rows, status } = asked.get(name)!;
        if (name.startsWith("DELETE")) {
          expect(outcome).toBe("notSent");
          continue;
        }
        expect([target!.status, target!.count, target!.bytes]).toEqual([status, rows, answer.length]);
        if (!isLossy && !isPipelined) expect(outcome).toBe("compared");
        if (outcome === "compared") {
          expect(production!.status).toBe(status);
          expect([-1, rows]).toContain(production!.count);
          expect([-1, answer.length]).toContain(production!.bytes);
          if (!isLossy && !isPipelined) expect(production!.bytes).toBe(answer.length);
        } else expect(["gap", "target only"]).toContain(outcome);
      }
    }),
    seeded(100),
  );
  // It does not pass because it knows nothing.
  expect(outcomes.get("compared")!).toBeGreaterThan(
    (outcomes.get("gap") ?? 0) + (outcomes.get("target only") ?? 0),
  );
});
