/** The channel of copy and intercept: what strangers say in place of a handshake, and what an open end says in its records. */
import type { Client, Peer } from "../../../src/channel/contract.ts";
import { type Ends, type Events, makeEnds, openEnds, sayAnything, takeAll } from "../../channel/ends.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { expectThat, roughly, type Target } from "../target.ts";

const FLOW = /^[0-9a-f]{72}$/;
/** By the first byte of an input. */
const SIDES = ["copy", "intercept"] as const;

/** Memory for what waits to be written. */
const SMALL = { outgoingBytes: 65_536 };

export const target: Target = {
  about:
    "frames of the channel: a stranger's handshake in pieces, and anything in the records of an end that is open",
  longest: 4096,
  rounds: 150,
  words: [
    "\0\0\0\x58\x01\0\0\0xcopy\0\0\x02",
    "\0\0\0\x58\x02\0\0\0xcopy\0\0\x02",
    "\0\0\0\0\x22\0\0\0",
    "\0\0\0\x24\x10\0\0\0",
    "\0\0\0\x24\x13\0\0\0",
    "\0\0\0\x30\x21\0\0\0",
    '\x12\0\0\0{"id":1,"what":"clock"}',
    '\x23\0\0\0{"id":1}',
    '{"ranges":[{"first":"10.0.0.1","last":"10.0.0.9"}]}',
    "\x11\0\0\0",
    "\x05\0\0\0bye",
    "\x03\0\0\0",
    '{"__proto__":1}',
    "[[[[",
    "\0\0\0\x28\0\x28\0\x14E\0\0\x28",
  ],

  take(input) {
    if (input.length === 0) return "";
    const side = SIDES[input[0]! & 1]!;
    const said = input.subarray(1);
    const [whole, ...others] = cutsOf(said, 2).map((cut) => listen(side, said, cut));
    for (const other of others) expectThat(other === whole, () => `In pieces ${other}, whole ${whole}`);
    return `${whole!.slice(0, 200)} ${listenOpen(side, said)}`;
  },
};

/** What an end that waits for a handshake makes of it. */
function listen(side: (typeof SIDES)[number], said: Uint8Array, cut: number[]): string {
  const ends = makeEnds({}, SMALL);
  const { end, events } = listenerOf(ends, side);
  feedPieces(said, cut, (bytes, from, to) => end.feed(bytes, from, to, 0));
  const answered = takeAll(end.outgoing).length;
  expectThat(
    end.state === "handshake" || end.state === "closed",
    () => `The state ${end.state} after no handshake`,
  );
  expectThat(answered < 1024, () => `${answered} bytes to a stranger`);
  expectThat(events.every(([name]) => name === "closed") && events.length <= 1, () => JSON.stringify(events));
  return JSON.stringify([events, answered]);
}

/** What an end that is open makes of frames in a record. */
function listenOpen(side: (typeof SIDES)[number], said: Uint8Array): string {
  const ends = openEnds(SMALL);
  const { end, events, other } = listenerOf(ends, side);
  sayAnything(other, end, said);
  for (const event of events) checkEvent(event, said.length);
  const closed = events.filter(([name]) => name === "closed").length;
  expectThat(
    closed <= 1 && (closed === 1) === (end.state === "closed"),
    () => `${closed} ends, and the state ${end.state}`,
  );
  const names = [...new Set(events.map(([name]) => name))];
  return [...names, roughly(events.length), events.find(([name]) => name === "closed")?.[1]].join();
}

function checkEvent([name, ...what]: unknown[], length: number): void {
  if (name === "register") expectThat(FLOW.test(what[0] as string), () => `A flow ${what[0]}`);
  if (name === "response") {
    const { ip, tcp } = what[0] as { ip: string; tcp: string };
    expectThat(
      ip.length >= 40 && ip.length + tcp.length <= 2 * length,
      () => `A response with headers ${ip} ${tcp}`,
    );
  }
}

/** The end that listens: to a copy it is the intercept's. */
function listenerOf(
  { client, peer, clientEvents, peerEvents }: Ends,
  side: (typeof SIDES)[number],
): { end: Client | Peer; events: Events; other: Client | Peer } {
  return side === "copy"
    ? { end: peer, events: peerEvents, other: client }
    : { end: client, events: clientEvents, other: peer };
}
