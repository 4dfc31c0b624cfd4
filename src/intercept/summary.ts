/** The account of `xcopy intercept`: the JSON object, the status line, and the summary for people. */
import { CLOSE_CODES, type CloseCode } from "../channel/close.ts";
import { bytes, number, type ProcessUse } from "../runtime/figures.ts";
import { takeCounters } from "../runtime/shared.ts";
import { SLOTS } from "./data-plane/copies.ts";
import {
  COPY_COLUMNS,
  INTERCEPT_INDEX,
  type InterceptCounter,
  type InterceptShared,
} from "./data-plane/shared.ts";

/** What the kernel counted since the programs were loaded; all 0 where there are none. */
export interface CatchCounts {
  /** What catches: tcx, clsact, xdp, nft, iptables. */
  source: string;
  /** Flows that the kernel knows now; 0 where it knows none. */
  active: number;
  /** Flows learned from SYNs, and registered flows that a response has proved. */
  learned: number;
  confirmed: number;
  /** SYNs of copies that were dropped, as the target had the connection of somebody else. */
  refused: number;
  /** Responses for which a ring, or the netfilter queue, had no room. */
  ringFull: number;
  /** Dropped without a record because xcopy stalled. */
  inert: number;
  /** Dropped without a record: what no record can hold, and what has no headers that can be read. */
  oversize: number;
  unreadable: number;
  /** IP fragments that were seen. */
  fragments: number;
  /** ICMP errors about copied flows that were dropped. */
  icmpErrors: number;
  /** SYNs with a cookie that no copy has. */
  unknownCookies: number;
}

/** A copy that is or was connected. */
export interface CopyName {
  slot: number;
  name: string;
}

export type InterceptAccount = ReturnType<typeof takeInterceptAccount>;

/** Reasons for which connections ended other than in order. */
const FAULTS = CLOSE_CODES.filter((code) => !["bye", "ended", "stopped"].includes(code));

/** Everything counted since the start, `seconds` ago. */
export function takeInterceptAccount(
  mode: string,
  seconds: number,
  shared: InterceptShared,
  caught: CatchCounts,
  copies: Iterable<CopyName>,
  use: ProcessUse,
  /** That of the key; null: there is none. */
  key: string | null = null,
) {
  const counters = takeCounters(shared);
  const count = (name: InterceptCounter) => counters[INTERCEPT_INDEX[name]]!;
  const column = (slot: number, name: (typeof COPY_COLUMNS)[number]) =>
    shared.copies[COPY_COLUMNS.indexOf(name) * SLOTS + slot]!;
  const discarded = count("discarded");
  return {
    mode,
    seconds: Math.round(seconds * 10) / 10,
    source: caught.source,
    responses: {
      packets: count("packets"),
      bytes: count("bytes"),
      lost: caught.ringFull + caught.inert + caught.oversize + discarded + count("cut"),
      ring_full: caught.ringFull,
      inert: caught.inert,
      discarded,
      cut: count("cut"),
      oversize: caught.oversize,
      unreadable: caught.unreadable,
      fragments: caught.fragments,
      icmp_errors: caught.icmpErrors,
    },
    flows: {
      active: caught.active + count("active"),
      learned: caught.learned,
      registered: count("registered"),
      confirmed: caught.confirmed + count("confirmed"),
      evicted: count("evicted"),
      expired: count("expired"),
      refused: caught.refused + count("refused"),
      withdrawn: count("withdrawn"),
      unknown_cookies: caught.unknownCookies,
    },
    routed: count("routed"),
    unrouted: count("unrouted"),
    passed: count("passed"),
    held: count("held"),
    released: count("released"),
    clients: count("clients"),
    key,
    connections: {
      open: count("connections"),
      unfinished: count("unfinished"),
      accepted: count("accepted"),
      failed: Object.fromEntries(
        FAULTS.map((code): [CloseCode, number] => [code, count(`closed.${code}`)]).filter(
          ([, times]) => times > 0,
        ),
      ) as Partial<Record<CloseCode, number>>,
    },
    copies: [...copies].map(({ slot, name }) => ({
      name,
      connections: column(slot, "connections"),
      packets: column(slot, "packets"),
      bytes: column(slot, "bytes"),
      discarded: column(slot, "discarded"),
    })),
    cpu: { user: use.user / 1e6, system: use.system / 1e6 },
    rss_mb: Math.round(use.rss / 1e5) / 10,
  };
}

/** `caught 1,200  routed 1,200  lost 0  flows 12  copies 1`. */
export function renderInterceptStatus({ responses, routed, flows, clients }: InterceptAccount): string {
  const counts: [string, number][] = [
    ["caught", responses.packets],
    ["routed", routed],
    ["lost", responses.lost],
    ["flows", flows.active],
    ["copies", clients],
  ];
  return counts.map(([name, count]) => `${name} ${number(count)}`).join("  ");
}

interface Fault {
  count: number;
  what: string;
  advice: string;
}

function faultsOf({ responses, unrouted, flows, connections }: InterceptAccount): Fault[] {
  const failed = Object.entries(connections.failed).filter(([code]) => code !== "stranger");
  const faults: Fault[] = [
    {
      count: responses.ring_full,
      what: "responses found no room on the way to xcopy; the target sends them again",
      advice: "give xcopy more CPU: it did not keep up",
    },
    {
      count: responses.inert,
      what: "responses were dropped while xcopy was stopped",
      advice: "find out what stopped it for more than 2 s",
    },
    {
      count: responses.discarded,
      what: "responses were discarded because a copy read too slowly",
      advice: "check the load of that copy, and the network path to it",
    },
    {
      count: responses.cut,
      what: "responses were captured without all of the payload that a copy reads; the target sends them again",
      advice: "if there are many, turn BIG TCP off: ip link set dev INTERFACE gso_max_size 65536",
    },
    {
      count: responses.oversize,
      what: "responses were dropped because they are too large for a record; the target sends them again",
      advice: "turn BIG TCP off: ip link set dev INTERFACE gso_max_size 65536",
    },
    {
      count: responses.unreadable,
      what: "packets without a TCP or UDP header were dropped",
      advice: "narrow -F to the responses of the target",
    },
    {
      count: unrouted,
      what: "responses belonged to no copy that is connected",
      advice: "narrow -F, or see whether a copy lost its connection",
    },
    {
      count: flows.refused,
      what: "registrations of flows and address ranges, or SYNs of copies, were refused: others have these connections",
      advice: "see the messages above, and whether somebody else sends from these addresses",
    },
    {
      count: flows.expired,
      what: "flows were registered for which no response of the target came",
      advice: "see whether the target answers on the port that copies send to",
    },
    {
      count: flows.evicted,
      what: "flows were forgotten to make room for others",
      advice: "raise -s",
    },
    ...failed.map(([code, count]) => ({
      count,
      what: `connections of copies failed: ${code}`,
      advice: "see the messages above",
    })),
  ];
  return faults.filter(({ count }) => count > 0);
}

/** The account for a person: a few aligned lines, then what went wrong and what to do about it. */
export function renderInterceptSummary(account: InterceptAccount): string {
  const { seconds, source, responses, flows, routed, unrouted, passed, released, cpu, copies } = account;
  const rows: [name: string, text: string | false][] = [
    [
      "responses",
      `${number(responses.packets)} caught (${bytes(responses.bytes)}), ${number(routed)} routed, ${number(unrouted)} without a copy`,
    ],
    ["passed", passed > 0 && `${number(passed)} to clients that -x names`],
    ["lost", `${number(responses.lost)} responses`],
    [
      "flows",
      [
        `${number(flows.learned)} learned, ${number(flows.registered)} registered`,
        flows.confirmed > 0 && `${number(flows.confirmed)} of them confirmed`,
        flows.withdrawn > 0 && `${number(flows.withdrawn)} withdrawn`,
        `${number(flows.active)} now`,
      ]
        .filter((part) => part !== false)
        .join(", "),
    ],
    ["early", released > 0 && `${number(released)} responses waited for the registration of their flow`],
    ...copies.map((copy, index): [string, string] => [
      index === 0 ? "copies" : "",
      `${copy.name}: ${number(copy.packets)} responses (${bytes(copy.bytes)})`,
    ]),
    ["cost", `${cpu.user.toFixed(1)} s user, ${cpu.system.toFixed(1)} s system, ${account.rss_mb} MB`],
  ];
  const lines = [`caught for ${seconds} s, mode ${account.mode} by ${source}`];
  for (const [name, text] of rows) if (text) lines.push(`  ${name.padEnd(9)}  ${text}`);
  const faults = faultsOf(account);
  if (faults.length > 0) lines.push("what went wrong:");
  for (const { count, what, advice } of faults) lines.push(`  ${number(count)} ${what}`, `    ${advice}`);
  return lines.join("\n");
}
