/** The account of copy: the field of each counter, the summary, the status line. */
import { describe, expect, test } from "bun:test";
import { type CaptureCounts, takeAccount } from "../../src/copy/account/account.ts";
import { renderStatus } from "../../src/copy/account/status.ts";
import { renderSummary } from "../../src/copy/account/summary.ts";
import {
  type Counter,
  createCounters,
  createShared,
  type HistogramName,
  INDEX,
  viewShared,
} from "../../src/copy/data-plane/shared.ts";
import { DROP_REASONS, type DropReason } from "../../src/engine/sessions/counters.ts";
import { SECURED, type SecuredName } from "../../src/engine/sessions/secured.ts";
import { KINDS, REASONS, type Reason } from "../../src/protocol/mysql/account.ts";
import { duration } from "../../src/runtime/figures.ts";
import { record } from "../../src/runtime/histogram.ts";
import { publish } from "../../src/runtime/shared.ts";

const NOTHING: CaptureCounts = {
  source: "tcx",
  packets: 0,
  bytes: 0,
  lost: 0,
  responsesLost: 0,
  pureAcks: 0,
  duplicates: 0,
  fragments: 0,
  oversize: 0,
  inert: 0,
  unsampled: 0,
};
const NEVER = { p50: 0, p99: 0, max: 0 };
const USE = { user: 1.5e6, system: 2.5e6, rss: 80e6 };

function account(
  counters: Partial<Record<Counter, number>> = {},
  capture: Partial<CaptureCounts> = {},
  lag: number[] = [],
  copies = 1,
  times: Partial<Record<HistogramName, readonly number[]>> = {},
) {
  const shared = viewShared(createShared());
  const counted = createCounters();
  for (const [name, value] of Object.entries(counters)) counted[INDEX[name as Counter]] = value;
  publish(shared, counted);
  for (const us of lag) record(shared.histograms.lag, us);
  for (const [name, values] of Object.entries(times))
    for (const us of values) record(shared.histograms[name as HistogramName], us);
  return takeAccount(10.04, [{ shared, isDead: false }], { ...NOTHING, ...capture }, USE, copies);
}

test("every counter has its field", () => {
  const counters = Object.fromEntries(Object.keys(INDEX).map((name, index) => [name, 1000 * (index + 1)]));
  const of = (name: Counter) => counters[name]!;
  const capture: CaptureCounts = {
    source: "clsact",
    packets: 101,
    bytes: 102,
    lost: 103,
    responsesLost: 104,
    pureAcks: 105,
    duplicates: 106,
    fragments: 107,
    oversize: 108,
    inert: 109,
    unsampled: 110,
    abandoned: 111,
    unread: 112,
    forwarded: 113,
  };
  expect(account(counters, capture)).toEqual({
    mode: "direct",
    seconds: 10,
    capture: {
      source: "clsact",
      packets: 101,
      bytes: 102,
      lost: 211,
      abandoned: 111,
      unread: 112,
      pure_acks: 105,
      duplicates: 106,
      fragments: 107 + of("fragmentsLost"),
      oversize: 108,
      inert: 109,
      unsampled: 110,
      forwarded: 113,
      repeated: of("repeated"),
      stray: of("stray"),
      urgent: of("urgent"),
    },
    invalid: {
      checksum: of("checksumErrors"),
      flags: of("invalid.flags"),
      acknowledgement: of("invalid.acknowledgement"),
      reset: of("invalid.reset"),
      timestamp: of("invalid.timestamp"),
      signature: of("invalid.signature"),
    },
    mptcp: { joined: of("mptcp.joined"), incomplete: of("mptcp.incomplete") },
    sessions: {
      opened: of("opened"),
      midstream: of("midstream"),
      established: of("established"),
      active: of("active"),
      closed: of("closed"),
      reset: of("resetSessions"),
      failed: of("failed"),
      reconnected: of("reconnected"),
      closed_by_target: of("closedByTarget"),
      shed: of("shed"),
      idle: of("idle"),
      displaced: of("displaced"),
      half_open: of("halfOpen"),
    },
    turns: {
      captured: of("turnsCaptured"),
      sent: of("turnsSent"),
      answered: of("turnsAnswered"),
      dropped: of("turnsDropped"),
      pending: of("turnsPending"),
    },
    overdue: of("turnsOverdue"),
    out_of_context: of("turnsOutOfContext"),
    secured: Object.fromEntries(
      Object.keys(SECURED).map((name) => [name, of(`secured.${name as SecuredName}`)]),
    ),
    spread: of("turnsSpread"),
    protocol_failures: of("protocolFailures"),
    sessions_not_http: of("sessionsNotHttp"),
    mysql: {
      sessions: of("mysql.sessions"),
      logins: of("mysql.logins"),
      refused: of("mysql.loginsRefused"),
      production_logins: {
        admitted: of("mysql.admitted"),
        refused: of("mysql.refusedOnline"),
        refused_copied: of("mysql.refusedCopied"),
        unknown: of("mysql.undecided"),
      },
      reconnected: of("mysql.reconnected"),
      tls: of("mysql.tls"),
      no_password: of("mysql.noPassword"),
      not_understood: of("mysql.notUnderstood"),
      restored: {
        statements: of("mysql.restoredStatements"),
        variables: of("mysql.restoredVariables"),
        failed: of("mysql.notRestored"),
      },
      sent: Object.fromEntries(KINDS.map((kind) => [kind, of(`mysql.sent.${kind}`)])),
      answered: Object.fromEntries(KINDS.map((kind) => [kind, of(`mysql.answered.${kind}`)])),
      left_out: Object.fromEntries(
        REASONS.map((reason) => [reason, of(`mysql.leftOut.${reason}`)]),
      ) as Record<Reason, number>,
      errors: {
        target: of("mysql.errorsAtTarget"),
        production: of("mysql.errorsInProduction"),
        only_target: of("mysql.errorsOnlyAtTarget"),
        only_production: of("mysql.errorsOnlyInProduction"),
        compared: of("mysql.compared"),
      },
      latency_us: { production: { p50: 0, p99: 0 }, target: { p50: 0, p99: 0 } },
    },
    dropped: Object.fromEntries(
      (Object.keys(DROP_REASONS) as DropReason[]).map((reason) => [reason, of(`dropped.${reason}`)]),
    ) as Record<DropReason, number>,
    sent: {
      packets: of("sentPackets"),
      bytes: of("sentBytes"),
      retransmitted: of("retransmitted"),
      errors: of("sendErrors"),
    },
    responses: {
      packets: of("responsePackets"),
      bytes: of("responseBytes"),
      lost: 104,
      stray: of("strayResponses"),
    },
    lag_us: { p50: 0, p99: 0, max: of("lagMax") },
    own_us: { p50: 0, p99: 0, max: of("ownMax") },
    answer_wait_us: NEVER,
    connection_wait_us: NEVER,
    behind: of("behind") / 1e6,
    waiting: of("waiting"),
    waiting_for_connection: of("waitingForConnection"),
    answer_us: { production: NEVER, target: NEVER },
    memory_bytes: of("memory"),
    cpu: { user: 1.5, system: 2.5 },
    rss_mb: 80,
  });
});

test("the number of copies is there if there are several", () => {
  expect(account({}, {}, [], 6)).toHaveProperty("copies", 6);
  expect(account({}, {}, [], 1)).not.toHaveProperty("copies");
});

test("lag is the time that 50 % and 99 % of the packets do not exceed", () => {
  const lags = [...Array(98).fill(10), 20, 30];
  expect(account({ lagMax: 30 }, {}, lags).lag_us).toEqual({ p50: 10, p99: 20, max: 30 });
});

describe("for a person", () => {
  test("without a loss", () => {
    const counters = {
      turnsCaptured: 50_000,
      turnsSent: 50_000,
      turnsAnswered: 49_999,
      opened: 64,
      midstream: 2,
      sentPackets: 100_100,
      sentBytes: 12_345_678,
      retransmitted: 3,
      lagMax: 2500,
    };
    expect(renderSummary(account(counters, { packets: 50_200, bytes: 9_999 }, [12]))).toBe(
      `copied for 10 s, captured by tcx
  requests  50,000 captured, 50,000 sent, 49,999 answered
  lost      0 requests (0 %), 0 packets
  sessions  64 opened, 2 began before, 0 failed
  packets   50,200 captured (10.0 kB), 100,100 sent (12.3 MB), 3 of them again
  lag       p50 12 us, p99 12 us, max 2.5 ms
            of it xcopy's own p50 0 us, p99 0 us; waiting for the target p50 0 us, p99 0 us; waiting for a connection p50 0 us, p99 0 us
  cost      1.5 s user, 2.5 s system, 80 us a request, 80 MB`,
    );
  });

  test("every loss has a line, with what to do about it", () => {
    const text = renderSummary(
      account({ turnsCaptured: 1000, turnsDropped: 12, "dropped.refused": 12 }, { lost: 3 }),
    );
    expect(text).toContain("lost      12 requests (1.2 %), 3 packets");
    expect(text.split("\n").slice(7)).toEqual([
      "what was not copied:",
      "  3 packets found no room in the rings",
      "    raise -B if this happens in bursts; else give xcopy more CPU (see --workers and --cpu-limit)",
      "  12 requests: target refused the connection",
      "    start the service on the target, or correct the port in -x",
    ]);
  });

  test("what options left out is listed apart from losses", () => {
    const counters = {
      turnsCaptured: 3000,
      turnsSent: 2300,
      turnsDropped: 700,
      "dropped.limit": 700,
      turnsOverdue: 12,
      urgent: 3,
    };
    const lines = renderSummary(account(counters, { unsampled: 4500 }, [], 3)).split("\n");
    expect(lines.slice(1, 7)).toEqual([
      "  copies    3 of each connection; every copy of a request counts",
      "  requests  3,000 captured, 2,300 sent, 0 answered",
      "  lost      0 requests (0 %), 0 packets",
      "  left out  700 requests (--limit), 4,500 packets (-r, -g)",
      "  overdue   12 requests sent without a response to the one before",
      "  urgent    3 packets with urgent data, sent in line",
    ]);
    expect(lines).toHaveLength(11);
  });

  test("SYNs that no handshake followed are said, and are no loss", () => {
    const lines = renderSummary(account({ opened: 64, halfOpen: 40_000, idle: 3 })).split("\n");
    expect(lines).toContain(
      "  sessions  64 opened, 0 began before, 0 failed; 3 forgotten without a sign of life for -k; 40,000 SYNs that no handshake followed",
    );
    expect(lines.join("\n")).not.toContain("what was not copied");
  });

  test.each([
    [{ "dropped.limit": 7, turnsDropped: 7 }, {}, "7 requests (--limit)"],
    [{}, { unsampled: 9 }, "9 packets (-r, -g)"],
  ])("of %j and %j, left out: %s", (counters, capture, text) => {
    expect(renderSummary(account(counters, capture)).split("\n")).toContain(`  left out  ${text}`);
  });

  test("what production has dropped is named by its kind, and is no loss", () => {
    const text = renderSummary(account({ checksumErrors: 1200, "invalid.reset": 3 }));
    expect(text).toContain(
      "  invalid   packets that the service here never saw: 1,200 with a wrong checksum, 3 RST off the next expected byte (RFC 5961)",
    );
    expect(text).not.toContain("what was not copied");
    expect(renderSummary(account())).not.toContain("invalid");
  });

  test.each([
    [{ "mptcp.joined": 1200 }, "1,200 subflows joined and opened nothing"],
    [
      { "mptcp.joined": 1, "mptcp.incomplete": 2 },
      "1 subflow joined and opened nothing, 2 connections not copied from where data took another subflow",
    ],
  ])("of %j: MPTCP with several subflows, %s", (counters, text) => {
    expect(renderSummary(account(counters)).split("\n")).toContain(
      `  mptcp     MPTCP connections with several subflows are not copied faithfully: ${text}`,
    );
    expect(renderSummary(account())).not.toContain("MPTCP");
  });

  const losses = Object.entries(DROP_REASONS).filter(([reason]) => reason !== "limit");
  test.each(losses)("the reason %s has its text and its advice", (reason, words) => {
    const lines = renderSummary(account({ turnsCaptured: 9, [`dropped.${reason}`]: 7 })).split("\n");
    const at = lines.indexOf(`  7 requests: ${words}`);
    expect(at).toBeGreaterThan(0);
    expect(lines[at + 1]).toMatch(/^ {4}\S.{10}/);
  });

  test.each([
    ["lost", "found no room in the rings"],
    ["inert", "passed while xcopy was stopped"],
    ["oversize", "were larger than this way of capture takes"],
    ["fragments", "in IP fragments could not be put together"],
    ["responsesLost", "packets of responses found no room"],
  ] as const)("%s is said", (field, words) => {
    expect(renderSummary(account({}, { [field]: 5 }))).toContain(words);
    expect(renderSummary(account())).not.toContain(words);
  });

  test.each([
    [0, 0, "0 %"],
    [0, 5, "0 %"],
    [1, 1_000_000, "less than 0.01 %"],
    [1, 3, "33.33 %"],
    [999_999, 1_000_000, "more than 99.99 %"],
    [5, 5, "100 %"],
  ])("%d of %d lost is %s", (dropped, captured, percent) => {
    const text = renderSummary(account({ turnsCaptured: captured, turnsDropped: dropped }));
    expect(text).toContain(`requests (${percent}), 0 packets`);
  });
});

test.each([
  [0, "0 us"],
  [999, "999 us"],
  [1000, "1.0 ms"],
  [1_500_000, "1.5 s"],
])("%d us is %s", (us, text) => {
  expect(duration(us)).toBe(text);
});

test("the status line counts requests, and everything that is not copied as lost", () => {
  const turns = { turnsCaptured: 1200, turnsSent: 1190, turnsAnswered: 1100, turnsDropped: 10 };
  expect(renderStatus(account({ ...turns, lagMax: 300 }, { lost: 2, inert: 1 }, [300]))).toBe(
    "captured 1,200  sent 1,190  answered 1,100  lost 13  lag 300 us",
  );
});

test("the status line counts what --limit left out, but not as lost", () => {
  const counters = { turnsCaptured: 1200, turnsSent: 600, turnsDropped: 600, "dropped.limit": 590 };
  expect(renderStatus(account(counters))).toBe(
    "captured 1,200  sent 600  answered 0  lost 10  left out 590  lag 0 us",
  );
});

const SLOW = {
  waiting: 24_071,
  behind: 23_400_000,
};

test.each([
  [
    SLOW,
    { productionAnswer: [1000], targetAnswer: [503_000] },
    "the target takes 508 ms for a response, production 1 ms: 24,071 requests wait, the oldest for 23 s",
  ],
  [
    { waiting: 1, behind: 1_000_000 },
    { targetAnswer: [2500] },
    "the target takes 2.6 ms for a response: 1 request waits, the oldest for 1 s",
  ],
  [SLOW, {}, "the target does not answer: 24,071 requests wait, the oldest for 23 s"],
  [
    SLOW,
    { productionAnswer: [5000], targetAnswer: [4000] },
    "24,071 requests wait for responses of the target, the oldest for 23 s",
  ],
  [
    { ...SLOW, waitingForConnection: 20_000 },
    { productionAnswer: [1000], targetAnswer: [503_000] },
    "24,071 requests wait for a connection to the target, the oldest for 23 s",
  ],
] as const)("%j with responses of %j: %s", (counters, answers, text) => {
  const told = account(counters, {}, [], 1, answers);
  expect(renderSummary(told)).toContain(`  behind    ${text}\n`);
  expect(renderStatus(told)).toEndWith(`  behind ${duration(counters.behind)}  (${text})`);
});

test.each([{ waiting: 5, behind: 900_000 }, { behind: 0 }])("nothing is said of %j", (counters) => {
  expect(renderSummary(account(counters))).not.toContain("behind");
  expect(renderStatus(account(counters))).not.toContain("behind");
});

test("the response times of both sides are shown side by side, and requests that were spread", () => {
  const answers = { productionAnswer: [1000, 1000, 9000], targetAnswer: [2000] };
  const told = renderSummary(account({ turnsSpread: 1200 }, {}, [], 1, answers));
  expect(told).toContain("  answers   target p50 2.0 ms, p99 2.0 ms; production p50 1.0 ms, p99 9.2 ms\n");
  expect(told).toContain("  spread    1,200 late requests over other connections\n");
});

test("connections that only the target closes are told in status and summary, and what no copy works of", () => {
  const counters = { closedByTarget: 10, turnsOutOfContext: 25, "secured.tls": 1200 };
  const told = renderSummary(account(counters));
  expect(told).toContain(
    "  closed    the target closed 10 connections that the service here kept open: see its log",
  );
  expect(told).toContain("  renewed   25 of the requests sent went over a new connection");
  expect(told).toContain("  useless   copies of TLS 1,200 times: see above\n");
  expect(renderStatus(account(counters))).toContain("  closed by the target 10  ");
  expect(account(counters)).toMatchObject({ sessions: { closed_by_target: 10 }, secured: { tls: 1200 } });
  for (const words of ["kept open", "renewed", "useless"])
    expect(renderSummary(account())).not.toContain(words);
  expect(renderStatus(account())).not.toContain("closed");
});

test("the account of MySQL is there if there was a session", () => {
  const told = renderSummary(
    account({
      "mysql.sessions": 3,
      "mysql.logins": 4,
      "mysql.reconnected": 1,
      "mysql.sent.query": 10,
      "mysql.answered.query": 9,
      "mysql.leftOut.write": 2,
      "mysql.leftOut.unknown_statement": 1,
      "mysql.errorsAtTarget": 1,
      "mysql.compared": 9,
      "mysql.errorsOnlyAtTarget": 1,
    }),
  );
  expect(told).toContain(
    "  mysql     3 sessions, 4 logins (1 again), 0 refused, 0 without a known password, 0 by TLS\n",
  );
  expect(told).toContain("  commands  10 sent, 9 answered\n");
  expect(told).toContain(
    "  omitted   commands 2 that may write (--read-only), 1 of prepared statements that began before xcopy\n",
  );
  expect(told).toContain("of 9 compared 1 at the target only, 0 in production only\n");
  expect(renderSummary(account())).not.toContain("mysql");
});
