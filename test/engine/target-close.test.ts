/** Connections that the target closes and production's service does not, told apart from those that both close. */
import { expect, test } from "bun:test";
import { ACK, FIN } from "../../src/wire/tcp.ts";
import { faultOfBooks } from "./books.ts";
import { type ClientOptions, type Conditions, client, Simulation } from "./simulation.ts";

const SECOND = 1_000_000;
const lines = (count: number) => Array.from({ length: count }, (_, i) => `request ${i}\n`);

interface Case {
  client?: Partial<ClientOptions>;
  conditions?: Partial<Conditions>;
  closeAfter?: number;
  /** us after which the target closes without being asked, by FIN or RST. */
  closes?: { at: number; by: "fin" | "rst" };
  /** us until the end, and counts then. */
  runs?: number;
}

function play({ conditions, closes, closeAfter = 0, runs = 60 * SECOND, ...of }: Case): number[] {
  const net = new Simulation({ seed: 1, ...conditions });
  net.closeAfter = closeAfter;
  client(net, { port: 40_000, requests: lines(5), pace: 50_000, ...of.client });
  if (closes)
    net.at(net.now + closes.at, () => {
      const { seq, ack, ...reset } = net.lastReset();
      const fin = { ...reset, seq, ack, flags: FIN | ACK };
      const packet = closes.by === "rst" ? { ...reset, seq, ack } : fin;
      net.respond({ ...packet, payload: new Uint8Array(0), options: [], window: 1000 });
    });
  net.run(runs);
  expect(faultOfBooks(net.counters)).toBe("");
  return [net.count("closedByTarget"), net.count("turnsOutOfContext")];
}

test.each<[string, Case, [closed: number, outOfContext: number]]>([
  ["the client goes on: each of its connections counts", { closeAfter: 2 }, [2, 3]],
  [
    "a turn that waits was captured before the target closed, and the client's end too",
    { closeAfter: 1, client: { requests: lines(3), pace: 10 } },
    [1, 1],
  ],
  ["both close after the response", { closeAfter: 1, client: { requests: lines(1) } }, [0, 0]],
  [
    "both close, production three seconds later",
    { closeAfter: 1, client: { requests: lines(1), pace: 3 * SECOND } },
    [0, 0],
  ],
  [
    "the client resets after the response",
    { closeAfter: 1, client: { requests: lines(1), end: "rst" } },
    [0, 0],
  ],
  [
    "the client neither sends nor closes for long",
    { closeAfter: 1, client: { requests: lines(1), end: "none" } },
    [1, 0],
  ],
  [
    "nor for a while, after which nothing is known yet",
    { closeAfter: 1, client: { requests: lines(1), end: "none" }, runs: 9 * SECOND },
    [0, 0],
  ],
  ...(["fin", "rst"] as const).flatMap((by): [string, Case, [number, number]][] => [
    [
      `an idle connection is closed by ${by}, and the client never sends again`,
      { closes: { at: 5 * SECOND, by }, client: { requests: lines(1), end: "none" } },
      [0, 0],
    ],
    [
      `an idle connection is closed by ${by}, and the client sends again`,
      { closes: { at: 12 * SECOND, by }, client: { requests: lines(2), pace: 8 * SECOND } },
      [1, 1],
    ],
  ]),
  [
    "with a limit of connections, and copies of each",
    { closeAfter: 2, conditions: { config: { replicas: 2 } } },
    [4, 6],
  ],
])("%s", (_, given, expected) => {
  expect(play(given)).toEqual(expected);
});
