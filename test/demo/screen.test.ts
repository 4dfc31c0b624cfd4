/** What the demo shows, and when it calls a run good. */
import { expect, test } from "bun:test";
import { judge, type Picture, renderLine, renderScreen } from "../../src/demo/screen.ts";

function picture(changes: {
  seconds?: number;
  client?: object;
  online?: object;
  target?: object;
  lag?: Picture["lag"];
}): Picture {
  return {
    command: "xcopy copy -x 80-10.0.0.2:8080",
    addresses: { client: "64 connections", online: "10.1.0.1:80", target: "10.0.0.2:8080" },
    seconds: changes.seconds ?? 4,
    duration: 8,
    requests: 16_000,
    client: { sent: 8000, answered: 8000, failed: 0, connections: 100, ...changes.client },
    online: { received: 8000, distinct: 8000, foreign: 0, ...changes.online },
    target: { received: 8000, distinct: 8000, foreign: 0, ...changes.target },
    rates: { client: 2000, online: 2000, target: 2000 },
    lag: changes.lag === undefined ? { p50: 300, p99: 1500 } : changes.lag,
    cpu: { seconds: 0.4, share: 0.1 },
  };
}

test("a demo is good only if every request arrived exactly once", () => {
  expect(judge(picture({}))).toEqual({
    good: true,
    lines: ["Each of the 8,000 requests reached the target exactly once; the client saw no error."],
  });
});

for (const { name, changes, line } of [
  {
    name: "one is missing at the target",
    changes: { target: { received: 7999, distinct: 7999 } },
    line: "1 requests did not reach the target.",
  },
  {
    name: "one came twice",
    changes: { target: { received: 8001 } },
    line: "1 requests reached the target a second time.",
  },
  {
    name: "one that nobody sent",
    changes: { target: { received: 8001, foreign: 1 } },
    line: "1 requests reached the target though no client sent them.",
  },
  {
    name: "one failed at the client",
    changes: { client: { answered: 7999, failed: 1 } },
    line: "1 requests got no response from online.",
  },
  {
    name: "nothing was sent",
    changes: {
      client: { sent: 0, answered: 0 },
      online: { received: 0, distinct: 0 },
      target: { received: 0, distinct: 0 },
    },
    line: "The client sent nothing.",
  },
]) {
  test(`a demo is not good if ${name}`, () => {
    expect(judge(picture(changes))).toEqual({ good: false, lines: [line] });
  });
}

test("a missing and a doubled request do not cancel each other out", () => {
  expect(judge(picture({ target: { received: 8000, distinct: 7999 } }))).toEqual({
    good: false,
    lines: ["1 requests did not reach the target.", "1 requests reached the target a second time."],
  });
});

test("the screen says what each host did, how far the target is behind, lag and cost", () => {
  const screen = Bun.stripANSI(renderScreen(picture({ target: { received: 7990 } })));
  expect(screen).toMatch(/client +64 connections +sent +8,000 +2,000\/s/);
  expect(screen).toMatch(/target +10\.0\.0\.2:8080 +served +7,990 +2,000\/s/);
  expect(screen).toMatch(/behind +10 requests/);
  expect(screen).toMatch(/lag +p50 0\.30 ms, p99 1\.50 ms/);
  expect(screen).toMatch(/CPU +10\.0 % of a core, 50 us a request/);
  expect(screen).toContain("4 of 8 s");
  expect(Math.max(...screen.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
});

test("on a slow machine they say the time that has passed, the share of the requests, and how long it took", () => {
  const late = picture({ seconds: 83.2 });
  expect(Bun.stripANSI(renderScreen(late))).toContain("━  83 s, 50 % of the requests");
  expect(renderLine(late)).toStartWith("83 s, 50 %   client sent 8,000   ");
  expect(judge(late).lines).toEqual([
    "Each of the 8,000 requests reached the target exactly once (in 83 s; this machine is slow); the client saw no error.",
  ]);
});

test("before the first report of copy there is no lag to show", () => {
  expect(renderLine(picture({ lag: null }))).toContain("lag p99 -");
});
