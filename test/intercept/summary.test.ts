/** The account of an intercept: the JSON object, the status line, the summary. */
import { expect, test } from "bun:test";
import {
  createInterceptCounters,
  createInterceptShared,
  INTERCEPT_INDEX,
  type InterceptCounter,
  viewInterceptShared,
} from "../../src/intercept/data-plane/shared.ts";
import {
  renderInterceptStatus,
  renderInterceptSummary,
  takeInterceptAccount,
} from "../../src/intercept/summary.ts";
import { publish } from "../../src/runtime/shared.ts";

const CAUGHT = {
  source: "tcx",
  active: 12,
  learned: 1200,
  confirmed: 0,
  refused: 0,
  ringFull: 0,
  inert: 0,
  oversize: 0,
  unreadable: 0,
  fragments: 0,
  icmpErrors: 0,
  unknownCookies: 0,
};

function account(counted: Partial<Record<InterceptCounter, number>>, caught: Partial<typeof CAUGHT> = {}) {
  const shared = viewInterceptShared(createInterceptShared());
  const counters = createInterceptCounters();
  for (const [name, count] of Object.entries(counted)) {
    counters[INTERCEPT_INDEX[name as InterceptCounter]] = count;
  }
  publish(shared, counters);
  // Columns of slot 3: connections, packets, bytes, discarded.
  for (const [column, value] of [2, 5900, 2_360_000, 0].entries()) shared.copies[column * 1024 + 3] = value;
  const use = { user: 310_000, system: 120_000, rss: 73_400_000 };
  return takeInterceptAccount(
    "target",
    10.04,
    shared,
    { ...CAUGHT, ...caught },
    [{ slot: 3, name: "10.0.0.1:4000" }],
    use,
  );
}

const GOOD = { packets: 6000, bytes: 2_400_000, routed: 6000, clients: 1, accepted: 2 };

test("the account has all its fields", () => {
  expect(account({ ...GOOD, active: 3, registered: 3, held: 1 })).toMatchObject({
    mode: "target",
    seconds: 10,
    responses: { packets: 6000, bytes: 2_400_000, lost: 0 },
    flows: { active: 15, learned: 1200, registered: 3 },
    routed: 6000,
    unrouted: 0,
    passed: 0,
    held: 1,
    clients: 1,
    connections: { accepted: 2, failed: {} },
    copies: [{ name: "10.0.0.1:4000", connections: 2, packets: 5900, bytes: 2_360_000, discarded: 0 }],
    cpu: { user: 0.31, system: 0.12 },
    rss_mb: 73.4,
  });
});

test("what is lost is lost for a reason", () => {
  const { responses, connections } = account(
    { ...GOOD, discarded: 5, cut: 2, "closed.wrong key": 2, "closed.bye": 9 },
    { ringFull: 3, inert: 1, oversize: 4, unreadable: 8 },
  );
  // What cannot be read was no response.
  expect(responses).toMatchObject({
    lost: 15,
    ring_full: 3,
    inert: 1,
    discarded: 5,
    cut: 2,
    oversize: 4,
    unreadable: 8,
  });
  expect(connections.failed).toEqual({ "wrong key": 2 });
});

test("the status line", () => {
  expect(renderInterceptStatus(account(GOOD))).toBe("caught 6,000  routed 6,000  lost 0  flows 12  copies 1");
});

test("for a person, when all is well", () => {
  expect(renderInterceptSummary(account(GOOD))).toBe(
    [
      "caught for 10 s, mode target by tcx",
      "  responses  6,000 caught (2.4 MB), 6,000 routed, 0 without a copy",
      "  lost       0 responses",
      "  flows      1,200 learned, 0 registered, 12 now",
      "  copies     10.0.0.1:4000: 5,900 responses (2.4 MB)",
      "  cost       0.3 s user, 0.1 s system, 73.4 MB",
    ].join("\n"),
  );
});

test("for a person, when it is not", () => {
  const text = renderInterceptSummary(
    account(
      { ...GOOD, routed: 5990, unrouted: 10, evicted: 7, discarded: 5, cut: 4, "closed.wrong key": 2 },
      { ringFull: 3, oversize: 6, unreadable: 8 },
    ),
  );
  expect(text.slice(text.indexOf("what went wrong:"))).toBe(
    [
      "what went wrong:",
      "  3 responses found no room on the way to xcopy; the target sends them again",
      "    give xcopy more CPU: it did not keep up",
      "  5 responses were discarded because a copy read too slowly",
      "    check the load of that copy, and the network path to it",
      "  4 responses were captured without all of the payload that a copy reads; the target sends them again",
      "    if there are many, turn BIG TCP off: ip link set dev INTERFACE gso_max_size 65536",
      "  6 responses were dropped because they are too large for a record; the target sends them again",
      "    turn BIG TCP off: ip link set dev INTERFACE gso_max_size 65536",
      "  8 packets without a TCP or UDP header were dropped",
      "    narrow -F to the responses of the target",
      "  10 responses belonged to no copy that is connected",
      "    narrow -F, or see whether a copy lost its connection",
      "  7 flows were forgotten to make room for others",
      "    raise -s",
      "  2 connections of copies failed: wrong key",
      "    see the messages above",
    ].join("\n"),
  );
});
