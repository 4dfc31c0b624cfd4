/** Sessions of MySQL against a server that the test plays, in whatever pieces both sides speak. */
import { describe, expect, test } from "bun:test";
import { generateKeyPairSync, privateDecrypt } from "node:crypto";
import fc from "fast-check";
import type { Reason } from "../../src/protocol/mysql/account.ts";
import { cachingSha2Response, nativeResponse } from "../../src/protocol/mysql/packets/auth.ts";
import { sign } from "../../src/protocol/mysql/packets/ed25519.ts";
import type { Host } from "./host.ts";
import { has, open, QUIT, query, ready, SIZES, secret } from "./open.ts";
import {
  command,
  error,
  greeting,
  login,
  moreData,
  number32,
  ok,
  prepared,
  result,
  SCRAMBLE,
  switchTo,
} from "./server.ts";

describe("logins, in pieces of every size", () => {
  for (const size of SIZES) {
    test(`mysql_native_password, ${size}`, () => {
      const { host, count } = open();
      host.connect();
      host.response(greeting("mysql_native_password"), size);
      host.request(login("shop"), true, size);
      const sent = host.sent[0]!;
      expect(has(sent, nativeResponse(secret, SCRAMBLE))).toBe(true);
      expect(Buffer.from(sent).toString("latin1")).toContain("test\0");
      expect(Buffer.from(sent).toString("latin1")).toContain("shop\0mysql_native_password\0\x06\x02os\x02ux");
      host.request(query("SELECT 1"), true, size);
      expect(host.sent.length).toBe(1);
      host.response(ok(2), size);
      expect(host.sent.slice(1)).toEqual([query("SELECT 1")]);
      expect(count("mysql.logins")).toBe(1);
    });

    test(`caching_sha2_password, cached by the server, ${size}`, () => {
      const { host, count } = open();
      host.request(login("shop"), true, size);
      host.connect();
      host.response(greeting("caching_sha2_password"), size);
      expect(has(host.sent[0]!, cachingSha2Response(secret, SCRAMBLE))).toBe(true);
      host.response(moreData(2, Uint8Array.of(3)), size);
      expect(count("mysql.logins")).toBe(0);
      host.response(ok(3), size);
      expect(count("mysql.logins")).toBe(1);
    });

    for (const plugin of ["caching_sha2_password", "sha256_password"]) {
      test(`${plugin} with the server's public key, ${size}`, () => {
        const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
        const pem = Buffer.from(publicKey.export({ type: "spki", format: "pem" }) as string);
        const { host, count } = open();
        host.request(login("shop"), true, size);
        host.connect();
        host.response(greeting(plugin), size);
        let sequence = 2;
        if (plugin === "caching_sha2_password") {
          host.response(moreData(2, Uint8Array.of(4)), size);
          expect(host.sent.at(-1)).toEqual(Uint8Array.of(1, 0, 0, 3, 2));
          sequence = 4;
        }
        host.response(moreData(sequence, pem), size);
        const sent = host.sent.at(-1)!;
        const plain = privateDecrypt({ key: privateKey, oaepHash: "sha1" }, sent.subarray(4));
        expect(Buffer.from(plain.map((byte, index) => byte ^ SCRAMBLE[index % 20]!)).toString()).toBe(
          "secret\0",
        );
        expect(sent[3]).toBe(sequence + 1);
        host.response(ok(sequence + 2), size);
        expect(count("mysql.logins")).toBe(1);
      });
    }

    test(`a switch to another plugin, ${size}`, () => {
      const other = SCRAMBLE.map((byte) => byte + 50);
      const { host, count } = open();
      host.request(login("shop"), true, size);
      host.connect();
      host.response(greeting("caching_sha2_password"), size);
      host.response(switchTo(2, "mysql_native_password", other), size);
      expect(host.sent[1]).toEqual(Uint8Array.of(20, 0, 0, 3, ...nativeResponse(secret, other)));
      host.response(ok(4), size);
      expect(count("mysql.logins")).toBe(1);
    });
  }

  const key = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const pem = Buffer.from(key.publicKey.export({ type: "spki", format: "pem" }) as string);
  /** What the server of a plugin goes on with, and whether what we said to it is the password. */
  const PLUGINS: Record<string, (host: Host, sequence: number, scramble: Uint8Array) => boolean> = {
    mysql_native_password: (host, _, scramble) => has(host.sent.at(-1)!, nativeResponse(secret, scramble)),
    client_ed25519: (host, _, scramble) => has(host.sent.at(-1)!, sign(secret, scramble)),
    caching_sha2_password: (host, sequence, scramble) => {
      const isRight = has(host.sent.at(-1)!, cachingSha2Response(secret, scramble));
      host.response(moreData(sequence, Uint8Array.of(4)));
      return isRight && hasSentKey(host, sequence + 2, scramble);
    },
    sha256_password: (host, sequence, scramble) =>
      host.sent.at(-1)!.at(-1) === 1 && hasSentKey(host, sequence, scramble),
  };
  function hasSentKey(host: Host, sequence: number, scramble: Uint8Array): boolean {
    host.response(moreData(sequence, pem));
    const { privateKey } = key;
    const plain = privateDecrypt({ key: privateKey, oaepHash: "sha1" }, host.sent.at(-1)!.subarray(4));
    return Buffer.from(plain.map((byte, index) => byte ^ scramble[index % 20]!)).toString() === "secret\0";
  }

  const greeted = ["mysql_native_password", "caching_sha2_password", "sha256_password"];
  for (const first of greeted) {
    for (const [second, isRight] of Object.entries(PLUGINS)) {
      test(`a server that greets with ${first} and switches to ${second}, at the login and by COM_CHANGE_USER`, () => {
        const scramble = Uint8Array.from({ length: second === "client_ed25519" ? 32 : 20 }, (_, i) => 60 + i);
        const { host, count } = open();
        host.request(login("shop"));
        host.connect();
        host.response(greeting(first));
        host.response(switchTo(2, second, scramble, second !== "client_ed25519"));
        expect(isRight(host, 4, scramble)).toBe(true);
        host.response(ok(9));
        expect(count("mysql.logins")).toBe(1);
        const rest = Buffer.from(
          "shop\0\x14" + "x".repeat(20) + "\0\x2d\0mysql_native_password\0\0",
          "latin1",
        );
        host.request(command(0x11, rest));
        host.response(switchTo(1, second, scramble, second !== "client_ed25519"));
        expect(isRight(host, 3, scramble)).toBe(true);
        host.response(ok(9));
        host.request(query("SELECT 1"));
        expect(host.sent.at(-1)).toEqual(query("SELECT 1"));
      });
    }
  }

  test("greetings of MySQL 5.5 without plugins, and of 4.1 without later fields", () => {
    const full = greeting("", { capabilities: 0x807f_f7df & ~0x0008_0800, version: "5.5.8" });
    const short = Uint8Array.from(full.subarray(0, 4 + 1 + "5.5.8".length + 1 + 4 + 8 + 1 + 2));
    short[0] = short.length - 4;
    for (const [packet, scramble] of [
      [full, SCRAMBLE],
      [short, SCRAMBLE.subarray(0, 8)],
    ] as const) {
      const { host } = open();
      host.request(login("shop"));
      host.connect();
      host.response(packet);
      expect(has(host.sent[0]!, nativeResponse(secret, scramble))).toBe(true);
      expect(Buffer.from(host.sent[0]!).toString("latin1")).not.toContain("mysql_native_password");
    }
  });

  test("authentication from before MySQL 4.1 and unknown plugins are refused", () => {
    for (const [packet, said] of [
      [Uint8Array.of(1, 0, 0, 2, 0xfe), "mysql_old_password"],
      [switchTo(2, "authentication_ldap_sasl"), "authentication_ldap_sasl"],
    ] as const) {
      const { host, notes, count } = open();
      host.request(login("shop"));
      host.connect();
      host.response(greeting("mysql_native_password"));
      host.response(packet);
      expect(host.isRefused).toBe(true);
      expect(notes).toEqual([expect.stringContaining(said)]);
      expect(count("mysql.loginsRefused")).toBe(1);
    }
  });

  test("the server's error message for a refused login is logged", () => {
    const { host, notes } = open();
    host.request(login("shop"));
    host.connect();
    host.response(greeting("mysql_native_password"));
    host.response(error(2, 1045, "Access denied"));
    expect(host.isRefused).toBe(true);
    expect(notes[0]).toEndWith("1045 Access denied");
    expect(notes.join()).not.toContain("secret");
  });

  test("after 'too many connections' the next command tries again", () => {
    const { host, count } = open();
    host.request(login("shop"));
    host.connect();
    host.response(error(0, 1040, "Too many connections"));
    expect([host.isRefused, host.hasGivenUp, count("mysql.loginsRefused")]).toEqual([false, true, 1]);
  });

  test("TLS is refused, with one line in the log", () => {
    const { host, notes, count } = open();
    host.connect();
    host.response(greeting("mysql_native_password"));
    host.request(Uint8Array.of(32, 0, 0, 1, 0x8d, 0xae, 0xbf, 1, ...new Uint8Array(28)));
    expect([host.isRefused, count("mysql.tls"), notes.length]).toEqual([true, 1, 1]);
  });

  test("a user without a password in production has none at the target; other passwords must be configured", () => {
    const empty = open();
    empty.host.connect();
    empty.host.response(greeting("mysql_native_password"));
    empty.host.request(login("nobody", { response: 0 }));
    expect(empty.host.sent.length).toBe(1);
    const other = open();
    other.host.connect();
    other.host.response(greeting("mysql_native_password"));
    other.host.request(login("nobody"));
    expect([other.host.isRefused, other.count("mysql.noPassword")]).toEqual([true, 1]);
  });

  test("names beyond ASCII are those of the configuration, in UTF-8", () => {
    const { host, notes } = open({ users: [{ name: "müller", target: "prüfer", password: "secret" }] });
    host.connect();
    host.response(greeting("mysql_native_password"));
    host.request(login("müller"));
    expect(has(host.sent[0]!, Buffer.from("\0prüfer\0"))).toBe(true);
    const other = open();
    other.host.connect();
    other.host.response(greeting("mysql_native_password"));
    other.host.request(login("jürgen"));
    expect(notes.concat(other.notes).join()).toContain('the MySQL user "jürgen"');
  });
});

describe("commands, in pieces of every size", () => {
  for (const hasEofs of [true, false]) {
    const capabilities = hasEofs ? { capabilities: 0x00bf_a28d & ~0x0800 } : {};
    for (const size of SIZES) {
      test(`the next command is sent when the response has ended, ${size}, ${hasEofs ? "with" : "without"} EOFs`, () => {
        const { host, count } = ready({}, capabilities);
        const commands = Array.from({ length: 6 }, (_, index) => query(`SELECT ${index}`));
        for (const one of commands) host.request(one, true, size);
        const answers = [
          result(0, hasEofs),
          result(100, hasEofs),
          Uint8Array.from(Buffer.concat([result(2, hasEofs, true), result(1, hasEofs)])),
          ok(1),
          error(1, 1064, "no"),
        ];
        for (const [index, answer] of answers.entries()) {
          expect(host.sent.length).toBe(index + 1);
          host.response(answer.subarray(0, -1), size);
          expect(host.sent.length).toBe(index + 1);
          host.response(answer.subarray(-1));
        }
        expect(host.sent).toEqual(commands);
        expect(count("mysql.answered.query")).toBe(5);
        expect(count("mysql.errorsAtTarget")).toBe(1);
      });

      test(`statements have the target's numbers, ${size}, ${hasEofs ? "with" : "without"} EOFs`, () => {
        const { host } = ready({}, capabilities);
        const values = [Uint8Array.of(0), number32(1), Uint8Array.of(0, 1, 8, 0), new Uint8Array(8)];
        host.request(command(0x16, "SELECT ?"), true, size);
        host.request(command(0x17, number32(1), ...values), true, size);
        host.request(command(0x19, number32(1)), true, size);
        host.request(QUIT, false, size);
        host.response(prepared(77, 1, hasEofs), size);
        expect(host.sent.length).toBe(2);
        host.response(result(1, hasEofs), size);
        expect(host.sent.slice(1)).toEqual([
          command(0x17, number32(77), ...values),
          command(0x19, number32(77)),
          QUIT,
        ]);
      });
    }
  }

  test("production's statement numbers are taken from its responses if these are captured", () => {
    const { host, count } = ready();
    host.request(command(0x16, "SELECT 1"));
    const answer = prepared(9, 0, false);
    host.session.production!(answer, 0, answer.length, 0, 1, 1, 5);
    host.response(prepared(3, 0, false));
    host.request(command(0x1a, number32(9)));
    expect(host.sent.at(-1)).toEqual(command(0x1a, number32(3)));
    host.request(command(0x1a, number32(1)));
    expect(count("mysql.leftOut.unknown_statement")).toBe(1);
  });

  test("uncaptured statement numbers are derived from a single statement, but not from several", () => {
    const one = ready();
    one.host.request(command(0x16, "SELECT 1"));
    one.host.response(prepared(5, 0, false));
    one.host.request(command(0x1a, number32(31)));
    expect(one.host.sent.at(-1)).toEqual(command(0x1a, number32(5)));
    one.host.response(ok(1));
    one.host.request(command(0x16, "SELECT 2"));
    one.host.response(prepared(6, 0, false));
    one.host.request(command(0x1a, number32(32)));
    expect(one.host.sent.at(-1)).toEqual(command(0x1a, number32(6)));
    const two = ready();
    for (const text of ["SELECT 1", "SELECT 2"]) two.host.request(command(0x16, text));
    two.host.request(command(0x1a, number32(1)));
    expect(two.count("mysql.leftOut.unknown_statement")).toBe(1);
  });

  test("a new connection gets the database, variables, statements, and parameter types sent before", () => {
    const { host } = ready();
    const head = [Uint8Array.of(0), number32(1)];
    host.request(command(2, "other"));
    host.response(ok(1));
    host.request(query("SET NAMES utf8"));
    host.response(ok(1));
    host.request(command(0x16, "SELECT ?"));
    host.response(prepared(1, 1, false));
    host.request(command(0x17, number32(1), ...head, Uint8Array.of(0, 1, 8, 0), new Uint8Array(8)));
    host.response(ok(1));
    host.disconnect();
    host.request(command(0x17, number32(1), ...head, Uint8Array.of(0, 0), new Uint8Array(8)));
    host.connect();
    host.response(greeting("mysql_native_password"));
    expect(Buffer.from(host.sent[0]!).toString("latin1")).toContain("other\0");
    host.response(ok(2));
    expect(host.sent[1]).toEqual(query("SET NAMES utf8"));
    host.response(ok(1));
    expect(host.sent[2]).toEqual(command(0x16, "SELECT ?"));
    host.response(prepared(42, 1, false));
    expect(host.sent[3]).toEqual(
      command(0x17, number32(42), ...head, Uint8Array.of(0, 1, 8, 0), new Uint8Array(8)),
    );
  });

  test("COM_CHANGE_USER gets the target's credentials, and resets the session's state", () => {
    const { host } = ready();
    host.request(query("SET NAMES utf8"));
    host.response(ok(1));
    const rest = Uint8Array.from(
      Buffer.from("shop\0\x14" + "x".repeat(20) + "db2\0\x2d\0mysql_native_password\0\0", "latin1"),
    );
    host.request(command(0x11, rest));
    expect(Buffer.from(host.sent[1]!).toString("latin1")).toContain("test\0");
    expect(has(host.sent[1]!, nativeResponse(secret, SCRAMBLE))).toBe(true);
    host.response(switchTo(1, "mysql_native_password"));
    // What the client answers to production is not for the target.
    host.request(Uint8Array.of(20, 0, 0, 3, ...new Uint8Array(20)));
    expect(host.sent.length).toBe(3);
    host.request(query("SELECT 1"));
    expect(host.sent.length).toBe(3);
    host.response(ok(3));
    expect(host.sent[3]).toEqual(query("SELECT 1"));
    host.response(ok(1));
    host.disconnect();
    host.connect();
    host.response(greeting("mysql_native_password"));
    expect(Buffer.from(host.sent[0]!).toString("latin1")).toContain("db2\0");
    host.response(ok(2));
    host.request(query("SELECT 2"));
    expect(host.sent[1]).toEqual(query("SELECT 2"));
  });

  test("COM_CHANGE_USER answers the last challenge of the connection, except those of ed25519", () => {
    const change = command(
      0x11,
      Buffer.from("shop\0\x14" + "x".repeat(20) + "\0\x2d\0mysql_native_password\0\0", "latin1"),
    );
    const other = SCRAMBLE.map((byte) => byte + 50);
    // The nonce of ed25519 may end with any byte.
    const nonce = new Uint8Array(32).fill(7);
    nonce[31] = 0;
    for (const [plugin, scramble, expected] of [
      ["mysql_native_password", other, other],
      ["client_ed25519", nonce, SCRAMBLE],
    ] as const) {
      const { host } = open();
      host.request(login("shop"));
      host.connect();
      host.response(greeting("mysql_native_password"));
      host.response(switchTo(2, plugin, scramble, plugin !== "client_ed25519"));
      const answer = plugin === "client_ed25519" ? sign(secret, nonce) : nativeResponse(secret, other);
      expect(host.sent[1]).toEqual(Uint8Array.of(answer.length, 0, 0, 3, ...answer));
      host.response(ok(4));
      host.request(change);
      expect(has(host.sent[2]!, nativeResponse(secret, expected))).toBe(true);
    }
  });

  test("a new connection gets what COM_RESET_CONNECTION keeps and COM_SET_OPTION sets", () => {
    const { host } = ready();
    const says = (...all: Uint8Array[]) => {
      for (const one of all) {
        host.request(one);
        host.response(ok(1));
      }
    };
    says(query("USE other"), query("SET NAMES utf8"), command(0x1f), command(0x1b, Uint8Array.of(1, 0)));
    host.disconnect();
    host.connect();
    host.response(greeting("mysql_native_password"));
    // CLIENT_MULTI_STATEMENTS
    expect(host.sent[0]![4 + 2]! & 1).toBe(0);
    host.response(ok(2));
    expect(host.sent.slice(1)).toEqual([query("USE other")]);
  });

  test("after a COM_CHANGE_USER to a user without a known password the session is not copied", () => {
    const { host, count, notes } = ready();
    const rest = Buffer.from("root\0\x14" + "x".repeat(20) + "\0\x2d\0mysql_native_password\0\0", "latin1");
    host.request(command(0x11, rest));
    expect([host.isRefused, host.sent.length, count("mysql.noPassword")]).toEqual([true, 0, 1]);
    expect(notes).toEqual([expect.stringContaining('"root"')]);
  });

  test("after a COM_CHANGE_USER while the target is away, the new user logs in", () => {
    const { host } = ready();
    const bytes = command(0x11, Buffer.from("open\0\0db2\0\x2d\0mysql_native_password\0\0", "latin1"));
    host.disconnect();
    host.session.skipped(0x11, bytes, 0, bytes.length, false);
    host.connect();
    host.response(greeting("mysql_native_password"));
    expect(Buffer.from(host.sent[0]!).toString("latin1")).toMatch(/open\0.*db2\0/);
  });

  test("an error that only the target has is logged once, with its code", () => {
    const { host, notes, count } = ready();
    for (let time = 100; time < 102; time++) {
      host.request(query("SELECT 1"));
      host.session.production!(ok(1), 0, ok(1).length, 0, 1, 1, time);
      host.response(error(1, 1146, "no such table"));
    }
    expect(count("mysql.errorsOnlyAtTarget")).toBe(2);
    expect(notes).toEqual([expect.stringContaining("MySQL error 1146 that production answers without one")]);
  });

  test("the client's file is sent if the target asks for it, else left out", () => {
    const data = [Uint8Array.of(3, 0, 0, 2, 97, 98, 99), Uint8Array.of(0, 0, 0, 3)];
    const { host, count } = ready();
    host.request(query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t"));
    for (const one of data) host.request(one, true, 2);
    expect(host.sent.length).toBe(1);
    host.response(Uint8Array.of(2, 0, 0, 1, 0xfb, 97));
    expect(host.stream.subarray(-11)).toEqual(Buffer.concat(data));
    host.response(ok(4));
    host.request(query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t"));
    for (const one of data) host.request(one);
    host.response(error(1, 1148, "not allowed"));
    expect(count("mysql.leftOut.no_data_wanted")).toBe(1);
    host.request(query("SELECT 1"));
    expect(host.sent.at(-1)).toEqual(query("SELECT 1"));
  });

  test("a file that only the target asks for is empty", () => {
    const { host } = ready();
    host.request(query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t"));
    host.request(query("SELECT 1"));
    host.response(Uint8Array.of(2, 0, 0, 1, 0xfb, 97));
    expect(host.sent.at(-1)).toEqual(Uint8Array.of(0, 0, 0, 2));
    host.response(ok(3));
    expect(host.sent.at(-1)).toEqual(query("SELECT 1"));
  });

  test("a session older than xcopy begins with its next command, as the configured user", () => {
    const { host, count } = open({ database: "shop" });
    host.request(query("SELECT 1"), true, 1000, true);
    host.connect();
    host.response(greeting("mysql_native_password"));
    expect(Buffer.from(host.sent[0]!).toString("latin1")).toContain("test\0");
    host.response(ok(2));
    expect(host.sent[1]).toEqual(query("SELECT 1"));
    host.request(command(0x17, number32(1), new Uint8Array(5)));
    expect(count("mysql.leftOut.unknown_statement")).toBe(1);
  });
});

describe("what must not be sent", () => {
  test("statements about accounts and the server, replication, and with readOnly what writes", () => {
    const { host, count } = ready({ readOnly: true });
    for (const one of [query("GRANT ALL ON *.* TO a"), command(0x12), command(8), command(0x0c, number32(1))])
      host.request(one);
    host.request(query("INSERT INTO t VALUES (1)"));
    host.request(command(0x16, "DELETE FROM t"));
    host.request(command(0x17, number32(1), new Uint8Array(5)));
    expect(host.sent).toEqual([]);
    expect(host.leftOut).toBe(7);
    expect(count("mysql.leftOut.account")).toBe(1);
    expect(count("mysql.leftOut.replication")).toBe(1);
    expect(count("mysql.leftOut.administration")).toBe(2);
    expect(count("mysql.leftOut.write")).toBe(3);
  });

  const changeUser = Buffer.from(
    "shop\0\x14" + "x".repeat(20) + "mysql\0\x2d\0mysql_native_password\0\0",
    "latin1",
  );
  test.each([
    ["USE", [query("USE `mysql`")]],
    ["USE among others", [query("USE shop; USE mysql; SELECT 1")]],
    ["COM_INIT_DB", [command(2, "mysql")]],
    ["COM_CHANGE_USER", [command(0x11, changeUser)]],
  ] as const)("writes in the database mysql, selected by %s", (_, commands) => {
    const { host, count } = ready();
    for (const one of commands) host.request(one);
    host.request(query("UPDATE user SET password = ''"));
    host.request(command(0x16, "DELETE FROM db"));
    expect(count("mysql.leftOut.account")).toBe(2);
    host.request(query("SELECT * FROM user"));
    host.request(command(2, "shop"));
    host.request(query("UPDATE user SET password = ''"));
    expect(count("mysql.leftOut.account")).toBe(2);
  });

  test("an incomplete COM_CHANGE_USER is not understood", () => {
    const { host, count } = ready();
    host.request(command(0x11, changeUser.subarray(0, 12)));
    expect([count("mysql.notUnderstood"), host.sent.length]).toEqual([1, 0]);
    host.request(query("SELECT 1"), true, 1, true);
    expect(host.sent).toEqual([query("SELECT 1")]);
  });

  describe("long texts are judged to their end", () => {
    const filler = `'${"x".repeat(70_000)}'`;
    const cases: [config: Parameters<typeof ready>[0], text: string, reason: Reason | null][] = [
      [{}, `INSERT INTO t VALUES (${filler})`, null],
      [{}, `INSERT INTO t VALUES (${filler}); GRANT ALL ON *.* TO a`, "account"],
      [{}, `/* ${filler} */ SET PASSWORD = 'a'`, "account"],
      [{}, `SELECT 1; SHUTDOWN; SELECT ${filler}`, "administration"],
      [{ skipDdl: true }, `INSERT INTO t VALUES (${filler}); DROP TABLE t`, "ddl"],
      [{ skipDdl: true }, `INSERT INTO t VALUES (${filler}, '; DROP TABLE t')`, null],
      [{ readOnly: true }, `SELECT ${filler}`, null],
      [{ readOnly: true }, `SELECT ${filler} FROM t FOR UPDATE`, "write"],
    ];
    for (const [config, text, reason] of cases) {
      for (const code of [3, 0x16]) {
        const name = `${code === 3 ? "query" : "prepare"}: ${text.replace("x".repeat(70_000), "...")}`;
        test(`${name}: ${reason ?? "sent"}`, () => {
          const { host, count } = ready(config);
          const packet = command(code, text);
          host.request(packet.subarray(0, 66_000), true, 1000);
          const before = host.sent.length;
          host.request(packet.subarray(66_000), false, 1000);
          host.request(query("SELECT 1"));
          // Nothing goes before all is known.
          expect(before).toBe(0);
          if (reason !== null) {
            expect(host.sent).toEqual([query("SELECT 1")]);
            expect([count(`mysql.leftOut.${reason}`), host.dropped + host.leftOut]).toEqual([1, 1]);
            return;
          }
          expect(Buffer.compare(host.stream, packet)).toBe(0);
          host.response(code === 3 ? ok(1) : prepared(1, 0, false));
          expect(host.sent.at(-1)).toEqual(query("SELECT 1"));
        });
      }
    }

    test("executions of a statement that was left out are left out too", () => {
      const { host, count } = ready({ readOnly: true });
      host.request(command(0x16, `SELECT ${filler} FROM t FOR UPDATE`), true, 1000);
      host.request(command(0x17, number32(1), new Uint8Array(5)));
      expect([host.sent.length, count("mysql.leftOut.write")]).toEqual([0, 2]);
    });

    test("a text whose end is lost is left out", () => {
      const { host } = ready();
      host.request(command(3, `INSERT INTO t VALUES (${filler})`).subarray(0, 68_000), true, 1000);
      host.request(query("SELECT 1"), true, 1000, true);
      expect(host.sent).toEqual([query("SELECT 1")]);
      expect(host.dropped).toBe(1);
    });

    test("the number of a text that is left out is right behind a gap too", () => {
      const { host, count } = ready({ readOnly: true });
      // Captured, but there was no memory for it: the engine drops the rest, and it is never begun nor skipped.
      host.forgets = true;
      host.request(query("SELECT 1"));
      host.forgets = false;
      host.request(query("SELECT 2"), true, 1000, true);
      host.response(ok(1));
      host.sent = [];
      host.request(command(3, `SELECT 1 ${filler} INTO OUTFILE 'x'`), true, 1000);
      expect(host.sent).toEqual([]);
      expect(count("mysql.leftOut.write")).toBe(1);
    });

    test("a text over several packets is read without their headers", () => {
      const { host, count } = ready();
      const most = 0xffffff;
      const text = Buffer.alloc(most + 40, 0x20);
      text.write("\x03SELECT 1; GRA", most - 14, "latin1");
      text.write("\x03SELECT 1; ", 0, "latin1");
      text.write("NT ALL ON *.* TO a", most);
      text.write("SELECT 1; GRA", most - 13);
      const packet = Buffer.concat([
        Uint8Array.of(0xff, 0xff, 0xff, 0),
        text.subarray(0, most),
        Uint8Array.of(40, 0, 0, 1),
        text.subarray(most),
      ]);
      for (let from = 0; from < packet.length; from += 1 << 20) {
        host.request(Uint8Array.from(packet.subarray(from, from + (1 << 20))), from === 0);
      }
      expect([host.sent.length, count("mysql.leftOut.account")]).toEqual([0, 1]);
    });
  });
});

describe("any bytes", () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 8 });
  const commands = fc.array(
    fc.tuple(
      fc.constantFrom(1, 2, 3, 0x11, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1c, 0x1f, 0xfa, 0x55),
      fc.uint8Array({ maxLength: 30 }),
    ),
    { maxLength: 10 },
  );
  /** Malformed packets may end a session, by an error that the engine catches; nothing else may happen. */
  const play = (host: Host, act: () => void): void => {
    try {
      if (!host.isRefused) act();
    } catch (thrown) {
      expect(["Malformed", "Error"]).toContain((thrown as Error).constructor.name);
    }
  };
  test("of a target, before and after the login", () => {
    fc.assert(
      fc.property(pieces, fc.boolean(), (bytes, isReady) => {
        const { host } = isReady ? ready() : open();
        if (!isReady) host.connect();
        if (isReady) host.request(query("SELECT 1"));
        for (const piece of bytes) play(host, () => host.response(piece));
      }),
    );
  });
  test("of a client", () => {
    fc.assert(
      fc.property(pieces, fc.boolean(), (bytes, isReady) => {
        const { host } = isReady ? ready() : open();
        for (const piece of bytes) play(host, () => host.request(piece));
      }),
    );
  });
  test("in commands, with responses of any kind", () => {
    const answer = fc.constantFrom(
      ok(1),
      error(1, 1, "no"),
      result(1, false),
      prepared(5, 1, false),
      prepared(6, 0, false),
    );
    fc.assert(
      fc.property(commands, fc.array(answer), (all, answers) => {
        const { host } = ready();
        for (const [code, rest] of all) play(host, () => host.request(command(code, rest)));
        for (const one of answers) play(host, () => host.response(one));
      }),
    );
  });
});

describe("a first packet that can be no login is not understood at once", () => {
  const V1 = Buffer.from("PROXY TCP4 198.51.100.7 10.71.1.2 5000 3306\r\n");
  test.each([
    ["a PROXY protocol line", V1],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a TLS handshake", Buffer.from("160301020001", "hex")],
    ["a startup of PostgreSQL", Buffer.from("0000000804d2162f", "hex")],
    ["a header whose packet never comes", Uint8Array.of(0xff, 0xff, 0xff, 1)],
    ["a login that is too short", Uint8Array.of(4, 0, 0, 1)],
  ])("%s", (_, bytes) => {
    for (const size of [1, 3, bytes.length]) {
      const { host, count, notes } = open();
      host.connect();
      host.response(greeting("mysql_native_password"));
      host.request(bytes, true, size);
      expect([count("mysql.notUnderstood"), host.leftOut, host.sent.length]).toEqual([1, 1, 0]);
      expect(notes.join()).toContain("can be no MySQL login");
    }
  });

  test("the next turn may be one again", () => {
    const { host } = ready();
    host.request(query("SELECT 1"), true, 5, true);
    expect(host.sent).toEqual([query("SELECT 1")]);
  });
});
