/** Only clients that production's server has let in are copied: logins, COM_CHANGE_USER, sessions older than xcopy. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { nativeResponse } from "../../src/protocol/mysql/packets/auth.ts";
import { Writer } from "../../src/protocol/mysql/packets/writer.ts";
import type { Host } from "./host.ts";
import { Online, type Segment } from "./online.ts";
import { has, open, query, SIZES, secret } from "./open.ts";
import { command, error, greeting, login, moreData, ok, result, SCRAMBLE, switchTo } from "./server.ts";

const INSERT = query("INSERT INTO t VALUES (1)");
const GREETING = greeting("mysql_native_password");
const OTHER = SCRAMBLE.map((byte) => byte + 70);
const auth = (sequence: number, length = 20) =>
  new Writer().put(new Uint8Array(length).fill(0x33)).packet(sequence);
const USERS = ["shop", "admin"].map((name) => ({ name, target: `${name}-there`, password: "secret" }));

/** A session whose logins are not believed, with a target that has greeted. */
function watched(config: Parameters<typeof open>[0] = {}) {
  const one = open({ trustLogins: false, users: USERS, ...config });
  one.host.connect();
  one.host.response(GREETING);
  const online = new Online(one.host);
  const logins = () =>
    ["admitted", "refusedOnline", "undecided"].map((name) => one.count(`mysql.${name}` as "mysql.admitted"));
  return { ...one, online, logins };
}

/** The target's answer to its login, then to each command. */
function serve(host: Host): void {
  for (let before = -1; host.sent.length !== before; ) {
    before = host.sent.length;
    host.response(ok(before === 1 ? 2 : 1));
  }
}

const hasRun = (host: Host, statement = INSERT) => host.sent.some((sent) => has(sent, statement));
const isRight = (host: Host) => has(host.stream, nativeResponse(secret, SCRAMBLE));

type Step = ["server" | "client", Uint8Array];
const key = Buffer.from(`-----BEGIN PUBLIC KEY-----\n${"A".repeat(400)}\n-----END PUBLIC KEY-----\n`);
/** What both sides say after the login, until production's answer, which has the last number. */
const EXCHANGES: Record<string, [steps: Step[], last: number]> = {
  mysql_native_password: [[], 2],
  "a switch to another plugin": [
    [
      ["server", switchTo(2, "mysql_native_password", OTHER)],
      ["client", auth(3)],
    ],
    4,
  ],
  "a switch to ed25519": [
    [
      ["server", switchTo(2, "client_ed25519", new Uint8Array(32), false)],
      ["client", auth(3, 64)],
    ],
    4,
  ],
  mysql_old_password: [
    [
      ["server", Uint8Array.of(1, 0, 0, 2, 0xfe)],
      ["client", auth(3, 9)],
    ],
    4,
  ],
  "caching_sha2_password, cached": [[["server", moreData(2, Uint8Array.of(3))]], 3],
  "caching_sha2_password with the server's key": [
    [
      ["server", moreData(2, Uint8Array.of(4))],
      ["client", Uint8Array.of(1, 0, 0, 3, 2)],
      ["server", moreData(4, key)],
      ["client", auth(5, 256)],
    ],
    6,
  ],
  "sha256_password with the server's key": [
    [
      ["server", moreData(2, key)],
      ["client", auth(3, 256)],
    ],
    4,
  ],
  "a second factor": [
    [
      ["server", new Writer().integer(2, 1).put(Buffer.from("authentication_fido\0xyz")).packet(2)],
      ["client", auth(3, 40)],
    ],
    4,
  ],
  "a dialog (PAM)": [
    [
      ["server", switchTo(2, "dialog", Buffer.from("\x04Password: "), false)],
      ["client", auth(3, 9)],
      ["server", new Writer().put(Buffer.from("\x02Token: ")).packet(4)],
      ["client", auth(5, 7)],
    ],
    6,
  ],
};

describe("a login", () => {
  for (const [name, [steps, last]] of Object.entries(EXCHANGES)) {
    for (const [answer, isAdmitted] of [
      [ok(last), true],
      [error(last, 1045, "Access denied for user 'shop'"), false],
    ] as const) {
      test(`by ${name}: ${isAdmitted ? "let in" : "refused"}, in segments of every size`, () => {
        for (const size of SIZES) {
          const { host, online, logins } = watched();
          online.open().say(GREETING, size);
          host.request(login("shop"), true, size);
          for (const [side, bytes] of steps) {
            if (side === "server") online.say(bytes, size);
            else host.request(bytes, true, size);
          }
          host.request(INSERT, true, size);
          expect(host.sent).toEqual([]);
          online.say(answer, size);
          expect(host.sent.length).toBe(1);
          expect(isRight(host)).toBe(isAdmitted);
          expect(Buffer.from(host.stream).toString("latin1")).toContain("shop-there\0");
          serve(host);
          expect(hasRun(host)).toBe(isAdmitted);
          expect(logins()).toEqual(isAdmitted ? [1, 0, 0] : [0, 1, 0]);
        }
      });
    }
  }

  test("refused is refused at the target too: a wrong password, for the same user", () => {
    for (const response of [20, 0]) {
      const { host, online, count } = watched();
      online.open().say(GREETING);
      host.request(login("nobody", { response }));
      online.say(error(2, 1045, "Access denied for user 'nobody'"));
      const [sent] = host.sent;
      expect(Buffer.from(sent!).toString("latin1")).toContain("nobody\0\x14");
      // Not what it has answered to production's challenge.
      expect(has(sent!, new Uint8Array(20).fill(0x55))).toBe(false);
      host.response(error(2, 1045, "Access denied"));
      expect(host.isRefused).toBe(true);
      expect([count("mysql.refusedCopied"), count("mysql.loginsRefused"), count("mysql.noPassword")]).toEqual(
        [1, 0, 0],
      );
    }
  });

  test("refused is left out where the target takes any password, and nothing more is sent where it takes a wrong one", () => {
    const any = watched({ skipGrant: true });
    any.online.open().say(GREETING);
    any.host.request(login("shop"));
    any.online.say(error(2, 1045, "no"));
    expect([any.host.sent, any.host.isRefused, any.host.session.mayConnect!()]).toEqual([[], true, false]);
    const wrong = watched();
    wrong.online.open().say(GREETING);
    wrong.host.request(login("shop"));
    wrong.host.request(INSERT);
    wrong.online.say(error(2, 1045, "no"));
    serve(wrong.host);
    expect([wrong.host.isRefused, hasRun(wrong.host), wrong.count("mysql.logins")]).toEqual([true, false, 0]);
    expect(wrong.notes.join()).toContain("with a wrong password");
  });

  test("is refused where the server ends the connection before its response", () => {
    const { host, online, logins } = watched();
    online.open().say(GREETING);
    host.request(login("shop"));
    host.request(INSERT);
    online.end();
    serve(host);
    expect([hasRun(host), isRight(host), logins()]).toEqual([false, false, [0, 1, 0]]);
  });

  test("of which nothing is known is not sent, and counted; no connection is opened for it", () => {
    for (const isConnected of [true, false]) {
      const { host, online, logins, notes } = watched();
      if (isConnected) online.open().say(GREETING);
      host.request(login("shop"));
      host.request(INSERT);
      expect(host.session.mayConnect!()).toBe(isConnected);
      host.loseLogin();
      expect([host.sent, host.waiting, host.dropped, logins()]).toEqual([[], 0, 1, [0, 0, 1]]);
      expect(notes.join()).toContain("--trust-logins");
      host.session.close();
      expect(logins()).toEqual([0, 0, 1]);
    }
  });

  test("is believed with --trust-logins", () => {
    const { host, online, logins } = watched({ trustLogins: true });
    host.request(login("shop"));
    host.request(INSERT);
    online.open().say(GREETING);
    online.say(error(2, 1045, "no"));
    serve(host);
    expect([hasRun(host), logins()]).toEqual([true, [0, 0, 0]]);
  });

  test("of somebody who was refused is not that of sessions older than xcopy", () => {
    const config = { trustLogins: false, users: USERS };
    const one = open(config);
    const online = new Online(one.host).open();
    one.host.connect();
    online.say(GREETING);
    one.host.request(login("admin"));
    online.say(error(2, 1045, "no"));
    // Of the same module.
    const later = one.another();
    later.connect();
    later.response(GREETING);
    const there = new Online(later, 1e6);
    later.request(query("SELECT 1"), true, 1000, true);
    there.say(ok(1));
    expect(Buffer.from(later.sent[0]!).toString("latin1")).toContain("shop-there\0");
  });
});

describe("no other packet is taken for production's OK", () => {
  const like = Buffer.from(ok(2));
  const tail = () =>
    Uint8Array.from([...error(2, 1045, "Access denied for '"), ...like, ...Buffer.from("'")]);
  /** With the length of all. */
  const naming = (): Uint8Array => {
    const bytes = tail();
    bytes[0] = bytes.length - 4;
    return bytes;
  };
  test("an error that names the user, cut by the client's window", () => {
    const bytes = naming();
    for (let cut = 1; cut < bytes.length; cut++) {
      const { host, online, logins } = watched();
      online.open().say(GREETING);
      host.request(login("shop"));
      host.request(INSERT);
      online.say(bytes.subarray(0, cut));
      online.say(bytes.subarray(cut));
      serve(host);
      expect([hasRun(host), isRight(host), logins()]).toEqual([false, false, [0, 1, 0]]);
    }
  });

  const forged: [string, (online: Online, host: Host) => void][] = [
    [
      "an OK ahead of the stream",
      (online, host) => {
        online.seq += 100;
        online.say(ok(2), 100, host.seq);
      },
    ],
    [
      "an OK that was there before",
      (online) => {
        online.seq -= GREETING.length;
        online.say(ok(2));
      },
    ],
    [
      "an OK that does not acknowledge the login",
      (online, host) => online.say(ok(2), 100, host.seq - INSERT.length - 1),
    ],
    ["an OK with a wrapped number", (online) => online.say(ok(1))],
    ["an OK with a later number", (online) => online.say(ok(7))],
    ["nothing but challenges", (online) => online.say(moreData(2, Uint8Array.of(0, 0, 0)))],
  ];
  test.each(forged)("%s", (_, say) => {
    const { host, online } = watched();
    online.open().say(GREETING);
    host.request(login("shop"));
    host.request(INSERT);
    say(online, host);
    serve(host);
    host.loseLogin();
    expect([host.sent, host.dropped]).toEqual([[], 1]);
  });

  test("an OK of another connection, without this one's SYN-ACK", () => {
    const { host, online } = watched();
    host.request(login("shop"), true, 1000, true);
    host.request(INSERT);
    online.say(ok(2));
    online.say(ok(1), 100, host.seq - 1);
    expect(host.sent).toEqual([]);
  });

  test("a session that begins with a command instead of a login", () => {
    const { host, online, logins } = watched();
    online.open().say(GREETING);
    host.request(INSERT, true, 1000, true);
    online.say(error(1, 1156, "Got packets out of order"));
    serve(host);
    expect([host.sent, logins()]).toEqual([[], [0, 1, 0]]);
  });
});

describe("COM_CHANGE_USER", () => {
  const become = (user: string) => {
    const rest = `${user}\0\x14${"x".repeat(20)}shop\0\x2d\0mysql_native_password\0\0`;
    return command(0x11, Buffer.from(rest, "latin1"));
  };
  /** A client that is let in as shop. */
  function inside(capabilities?: number) {
    const one = watched();
    one.online.open().say(GREETING);
    one.host.request(login("shop", capabilities === undefined ? {} : { capabilities }));
    one.online.say(ok(2));
    serve(one.host);
    one.host.sent = [];
    const became = () => Buffer.from(one.host.stream).toString("latin1").includes("admin-there\0");
    /** A command, and the answer of both sides. */
    const say = (bytes: Uint8Array, answer: Uint8Array) => {
      one.host.request(bytes);
      one.online.say(answer);
      one.host.response(answer);
    };
    return { ...one, became, say };
  }

  test("waits for its own OK, and what follows for it", () => {
    for (const size of SIZES) {
      const { host, online, became, say, logins } = inside();
      say(query("SELECT 1"), result(2, false));
      host.request(become("admin"), true, size);
      host.request(INSERT, true, size);
      expect(became()).toBe(false);
      online.say(switchTo(1, "mysql_native_password", OTHER), size);
      host.request(auth(2), true, size);
      expect(became()).toBe(false);
      online.say(ok(3), size);
      expect(became()).toBe(true);
      host.response(ok(1));
      expect([hasRun(host), logins()]).toEqual([true, [2, 0, 0]]);
    }
  });

  test("that is refused is left out, and what the client sends as itself goes on", () => {
    const { host, online, became, logins, say } = inside();
    host.request(become("admin"));
    online.say(error(1, 1045, "no"));
    say(INSERT, ok(1));
    expect([became(), hasRun(host), host.dropped, logins()]).toEqual([false, true, 1, [1, 1, 0]]);
    host.disconnect();
    host.connect();
    host.response(GREETING);
    expect(Buffer.from(host.stream).toString("latin1")).toContain("shop-there\0");
  });

  test("whose answer was captured before it", () => {
    const { host, online, became } = inside();
    const [answer] = online.segments(ok(1), 100, host.seq + become("admin").length);
    online.capture(answer!);
    host.request(become("admin"));
    expect(became()).toBe(true);
  });

  test("behind a large result is not known, and ends the session; to who the client was before it is", () => {
    const large = Uint8Array.from(Buffer.concat([result(40, false).subarray(0, -11), result(1, false)]));
    for (const [user, isSent] of [
      ["admin", false],
      ["shop", true],
    ] as const) {
      const { host, online, say, count } = inside();
      host.request(query("SELECT 1"));
      online.say(large);
      host.response(result(40, false));
      say(query("SELECT 2"), ok(1));
      host.request(become(user));
      host.request(INSERT);
      online.say(ok(1));
      host.loseLogin();
      expect(host.isRefused).toBe(!isSent);
      expect(Buffer.from(host.stream).toString("latin1").includes(`${user}-there\0`)).toBe(isSent);
      expect(count("mysql.undecided")).toBe(isSent ? 0 : 1);
    }
  });

  /** What somebody who may run statements can make production send before the answer to it. */
  const attacks: [string, (one: ReturnType<typeof inside>) => void][] = [
    [
      "the OK of a ping before it",
      ({ host, online }) => {
        host.request(Uint8Array.of(...command(0x0e), ...become("admin")));
        online.say(ok(1));
        online.say(error(1, 1045, "no"));
      },
    ],
    [
      "the OK of a ping after it",
      ({ host, online }) => {
        host.request(Uint8Array.of(...become("admin"), ...command(0x0e)));
        online.say(error(1, 1045, "no"));
        online.say(ok(1));
      },
    ],
    [
      "a row that looks like an OK, with a wrapped number, where the client has read to",
      ({ host, online }) => {
        host.request(query("SELECT '', ... SLEEP(1)"));
        const rows = result(252, false).subarray(0, -11);
        for (let at = 0; at < rows.length; at += 250) online.say(rows.slice(at, at + 250));
        expect(rows.at(-5)! & 0xff).toBe(254);
        host.request(become("admin"));
        const row = (sequence: number) =>
          new Writer().put(Uint8Array.of(0, 0, 0, 2, 0, 0, 0)).packet(sequence);
        for (const sequence of [255, 0, 1, 2]) online.say(row(sequence));
        online.say(new Writer().integer(0xfe, 1).zeros(2).integer(2, 2).zeros(2).packet(3));
        online.say(error(1, 1045, "no"));
      },
    ],
    [
      "such a row in a result of which not all is captured",
      ({ host, online }) => {
        host.request(query("SELECT '', ... SLEEP(1)"));
        online.say(result(252, false).subarray(0, -11));
        host.request(become("admin"));
        online.say(ok(1));
      },
    ],
    [
      "an event of the binary log",
      ({ host, online }) => {
        host.request(command(0x12, new Uint8Array(10)));
        online.say(ok(1));
        host.request(become("admin"));
        online.say(ok(1));
      },
    ],
    [
      "the response to a file that looks like commands",
      ({ host, online }) => {
        host.request(query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t"));
        online.say(Uint8Array.of(2, 0, 0, 1, 0xfb, 97));
        host.request(become("admin"));
        host.request(command(0x0e));
        online.say(ok(2));
        online.say(ok(1));
      },
    ],
    [
      "the response to a command that came with the login",
      ({ host, online }) => {
        host.request(Uint8Array.of(...become("admin"), ...command(0x0e)));
        online.say(error(1, 1045, "no"));
        online.say(ok(1));
      },
    ],
  ];
  test.each(attacks)("is not sent for %s", (_, attack) => {
    for (const capabilities of [undefined, 0x00bf_a28d & ~0x0800]) {
      const one = inside(capabilities);
      try {
        attack(one);
      } catch (thrown) {
        if (capabilities === undefined) throw thrown;
      }
      for (let turns = 0; turns < 4; turns++) one.host.response(ok(1));
      one.host.loseLogin();
      expect(one.became()).toBe(false);
    }
  });

  test("is not sent for the OK of a command that was sent with the login", () => {
    for (const isOneSegment of [true, false]) {
      const one = watched();
      one.online.open().say(GREETING);
      one.host.request(Uint8Array.of(...login("shop"), ...command(0x0e)));
      if (isOneSegment) one.online.say(Uint8Array.of(...ok(2), ...ok(1)));
      else for (const answer of [ok(2), ok(1)]) one.online.say(answer);
      one.host.request(Uint8Array.of(...become("admin"), ...command(0x0e)));
      one.online.say(error(1, 1045, "no"));
      one.online.say(ok(1));
      serve(one.host);
      one.host.loseLogin();
      expect(Buffer.from(one.host.stream).toString("latin1")).not.toContain("admin-there\0");
    }
  });
});

describe("a session older than xcopy", () => {
  test("is let in by a response to its command, before or after that is captured, in pieces of every size", () => {
    for (const size of SIZES) {
      for (const answer of [ok(1), result(1, false), result(1, true)]) {
        const { host, online, logins } = watched();
        host.request(INSERT, true, size, true);
        expect(host.sent).toEqual([]);
        online.say(answer);
        serve(host);
        expect([hasRun(host), logins()]).toEqual([true, [1, 0, 0]]);
      }
    }
    const { host, online } = watched();
    const [early] = online.segments(ok(1), 100, host.seq + INSERT.length);
    host.ack = early!.seq;
    online.capture(early!);
    host.request(INSERT, true, 1000, true);
    serve(host);
    expect(hasRun(host)).toBe(true);
  });

  test.each([
    ["an error", (online: Online) => online.say(error(1, 1045, "no"))],
    ["the end", (online: Online) => online.end()],
    ["a response to what was before", (online: Online, host: Host) => online.say(ok(1), 100, host.seq - 1)],
    [
      "bytes that the client has read",
      (online: Online) => {
        online.seq -= 20;
        online.say(ok(1));
      },
    ],
    [
      "bytes ahead",
      (online: Online) => {
        online.seq += 20;
        online.say(ok(1));
      },
    ],
    ["a packet of a login", (online: Online) => online.say(ok(2))],
    ["a greeting", (online: Online) => online.say(GREETING)],
    [
      "a greeting that is cut where it looks like an OK",
      (online: Online) => {
        // The number of the connection is 256.
        for (const version of ["8.0.36", "8.4.0", "10.11.6-MariaDB"]) {
          const whole = greeting("mysql_native_password", { version });
          whole.set([0, 1, 0, 0], 4 + 1 + version.length + 1);
          online.say(whole.subarray(4 + version.length));
          online.seq -= whole.length - 4 - version.length;
        }
      },
    ],
    [
      "part of an error that names the user",
      (online: Online) => online.say(Buffer.from("\x05\x05\x05\x01\x02 'to")),
    ],
    ["nothing", () => {}],
  ])("is not let in by %s", (_, say) => {
    const { host, online } = watched();
    host.request(INSERT, true, 1000, true);
    say(online, host);
    serve(host);
    host.loseLogin();
    expect([host.sent, host.dropped]).toEqual([[], 1]);
  });
});

describe("in whatever order the records come", () => {
  type Record = ["client", Uint8Array] | ["server", Segment] | ["SYN-ACK"] | ["end"];
  const exchanges = Object.values(EXCHANGES);
  const plan = fc.record({
    exchange: fc.nat(exchanges.length - 1),
    answer: fc.constantFrom("ok", "error", "end", "none"),
    cuts: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 6 }),
    /** How far each record may come late, in records. */
    delays: fc.array(fc.nat(4), { minLength: 1, maxLength: 12 }),
    statements: fc.integer({ min: 1, max: 4 }),
    isForging: fc.boolean(),
  });

  test("statements reach the target if and only if production's OK was seen", () => {
    fc.assert(
      fc.property(plan, ({ exchange, answer, cuts, delays, statements, isForging }) => {
        const { host, online } = watched();
        const [steps, last] = exchanges[exchange]!;
        const records: Record[] = [["SYN-ACK"]];
        // The numbers as they are when it is sent; the capture may come later.
        let seq = host.seq;
        let turn = 0;
        const server = (bytes: Uint8Array): void => {
          const cut = cuts[turn++ % cuts.length]!;
          for (const segment of online.segments(bytes, cut, seq)) records.push(["server", segment]);
        };
        const client = (bytes: Uint8Array): void => {
          records.push(["client", bytes]);
          seq = (seq + bytes.length) | 0;
        };
        const run: Uint8Array[] = Array.from({ length: statements }, (_, index) =>
          query(`INSERT INTO t VALUES (${index})`),
        );
        server(GREETING);
        client(login("shop"));
        // Somebody who does not wait for the answer.
        if (isForging) for (const one of run) client(one);
        for (const [side, bytes] of steps) (side === "server" ? server : client)(bytes);
        if (answer === "ok") server(ok(last));
        else if (answer === "error") server(error(last, 1045, "Access denied for user 'shop'"));
        else if (answer === "end") records.push(["end"]);
        if (!isForging) for (const one of run) client(one);
        const order = records
          .map((record, index) => ({ record, at: index + delays[index % delays.length]!, index }))
          // Each side's own records keep their order; the server's may be exchanged too.
          .sort((one, other) => one.at - other.at || one.index - other.index);
        const clients = order.filter(({ record }) => record[0] === "client").map(({ index }) => index);
        clients.sort((one, other) => one - other);
        for (const { record } of order) {
          if (record[0] === "SYN-ACK") online.open();
          else if (record[0] === "server") online.capture(record[1]);
          else if (record[0] === "end") online.end();
          else host.request((records[clients.shift()!] as ["client", Uint8Array])[1]);
        }
        host.settle();
        serve(host);
        host.loseLogin();
        const went = run.filter((one) => hasRun(host, one)).length;
        expect(went).toBe(answer === "ok" ? statements : 0);
        expect(isRight(host)).toBe(answer === "ok");
      }),
    );
  });
});
