/** The account of a record, and its summary. */
import { expect, test } from "bun:test";
import { KERNEL_COUNTERS, type KernelStats } from "../../src/capture/counters.ts";
import {
  createRecordCounters,
  createRecordShared,
  RECORD_INDEX,
  type RecordCounter,
  viewRecordShared,
} from "../../src/record/shared.ts";
import {
  type RecordFacts,
  renderRecordStatus,
  renderRecordSummary,
  takeRecordAccount,
} from "../../src/record/summary.ts";
import { publish } from "../../src/runtime/shared.ts";

const FACTS: RecordFacts = {
  source: "tcx",
  first: "cap-0001.pcapng",
  last: "cap-0003.pcapng",
  ended: "signal",
};

function accountOf(
  counted: Partial<Record<RecordCounter, number>>,
  kernel: Partial<KernelStats>,
  facts: Partial<RecordFacts> = {},
) {
  const shared = viewRecordShared(createRecordShared());
  const counters = createRecordCounters();
  for (const [name, count] of Object.entries(counted)) counters[RECORD_INDEX[name as RecordCounter]] = count;
  publish(shared, counters);
  const none = Object.fromEntries(KERNEL_COUNTERS.map((name) => [name, 0])) as Record<
    string,
    number
  > as KernelStats;
  const use = { user: 200_000, system: 300_000, rss: 80e6 };
  return takeRecordAccount(10, shared, { ...none, ...kernel }, use, { ...FACTS, ...facts });
}

test("without a loss it is short", () => {
  const account = accountOf(
    { packets: 1500, written: 1500, outgoing: 500, files: 3, fileBytes: 123_456 },
    {
      requestsCaptured: 1000,
      requestBytes: 100_000,
      outgoingCaptured: 500,
      outgoingBytes: 5000,
      pureAcks: 7,
    },
  );
  expect(account.written).toMatchObject({ pending: 0, left: 0 });
  expect(renderRecordStatus(account)).toBe("captured 1,500  written 1,500  lost 0  123 kB in 3 files");
  expect(renderRecordSummary(account)).toBe(`recorded for 10 s, captured by tcx
  packets    1,500 captured (105 kB), 1,500 written
  responses  500 of the packets
  lost       0 packets (0 %)
  pure ACKs  7 left out
  files      3, 123 kB: cap-0001.pcapng to cap-0003.pcapng
  cost       0.2 s user, 0.3 s system, 333.3 us a packet, 80 MB`);
});

test("every loss is named, with what to do about it", () => {
  const account = accountOf(
    { packets: 900, written: 850, files: 1 },
    {
      requestsCaptured: 1000,
      requestRingFull: 5,
      outgoingRingFull: 1,
      inert: 4,
      oversize: 3,
      unreadable: 2,
      fragments: 8,
    },
    { ended: "error", last: "cap" },
  );
  expect(account.written).toMatchObject({ pending: 50, left: 100 });
  const text = renderRecordSummary(account);
  expect(text).toContain("captured by tcx, ended by an error\n");
  expect(text).toContain("  lost       163 packets (16.09 %)\n");
  const losses = text.slice(text.indexOf("what was not recorded:")).split("\n");
  expect(losses.filter((line) => /^ {2}\d/.test(line))).toEqual([
    "  6 packets found no room in the rings",
    "  150 packets were captured when a file could not be written",
    "  4 packets passed while xcopy was stopped",
    "  3 packets were larger than this way of capture takes",
    "  2 packets were shorter than their headers say",
    "  8 IP fragments were not looked at",
  ]);
});

test("packets beyond the limit of -c are no loss", () => {
  const account = accountOf(
    { packets: 100, written: 100, files: 1 },
    { requestsCaptured: 130 },
    { ended: "count" },
  );
  expect(account.written.left).toBe(30);
  expect(renderRecordSummary(account)).toContain("ended by -c\n");
  expect(renderRecordSummary(account)).toContain("  lost       0 packets (0 %)\n");
});
