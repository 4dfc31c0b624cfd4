/** The channel of tcpcopy and intercept 1.x, in both directions. */
import { CompatClient } from "../../../src/channel/compat-client.ts";
import { ChannelServer } from "../../../src/channel/server.ts";
import { ADDRESS, type Events, recordClient, recordPeer } from "../../channel/ends.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { expectThat, roughly, type Target } from "../target.ts";

export const target: Target = {
  about:
    "messages of tcpcopy and intercept 1.x: headers of responses, counts, registrations; alike in pieces",
  longest: 2048,
  rounds: 1200,
  words: [
    "\0\0\0\0\0\0\0\x06\0\0\0\0\0\0",
    "\xc0\0\x02\x07\x9c\x40\0\x01\x0a\0\0\x02\x1f\x90",
    "\0\0\0\x02",
    "\0\0\0\x01",
    "E\0\0\x3c\0\0\x40\0\x40\x06",
    "E\0\x05\xdc",
    "\x80\x18",
    "\xa0\x12",
  ],

  take(input) {
    if (input.length === 0) return "";
    const kind = input[0]! % 3;
    const said = input.subarray(1);
    const [whole, ...others] = cutsOf(said).map((cut) =>
      kind === 0 ? listenToIntercept(said, cut) : listenToCopy(said, cut, kind === 1),
    );
    for (const other of others) expectThat(other === whole, () => `In pieces ${other}, whole ${whole}`);
    const events = JSON.parse(whole!) as Events;
    return [
      kind,
      ...new Set(events.map(([name]) => name)),
      roughly(events.length),
      events.find(([name]) => name === "closed")?.[1],
    ].join();
  },
};

/** Used for one connection after the other, as its memory is large. */
const events: Events = [];
const client = new CompatClient(recordClient(events));

function listenToIntercept(said: Uint8Array, cut: number[]): string {
  client.begin(0);
  events.length = 0;
  const before = client.malformed;
  feedPieces(said, cut, (bytes, from, to) => client.feed(bytes, from, to, 0));
  expectThat(
    client.malformed - before <= said.length,
    () => `${client.malformed - before} malformed records`,
  );
  for (const [name, what] of events) {
    if (name !== "response") continue;
    const { ip, tcp, length } = what as { ip: string; tcp: string; length: number };
    expectThat(
      ip.length >= 40 && tcp.length >= 40 && length >= 0,
      () => `A response of ${length} bytes: ${ip} ${tcp}`,
    );
  }
  return JSON.stringify([...events, ["malformed", client.malformed - before]]);
}

function listenToCopy(said: Uint8Array, cut: number[], isCombined: boolean): string {
  const events: Events = [];
  const server = new ChannelServer({
    key: null,
    compat: isCombined ? "combined" : "separate",
    outgoingBytes: 65_536,
  });
  const peer = server.accept(ADDRESS, recordPeer(events), 0);
  feedPieces(said, cut, (bytes, from, to) => peer.feed(bytes, from, to, 0));
  const closed = events.filter(([name]) => name === "closed").length;
  expectThat(closed <= 1, () => `It ends ${closed} times`);
  return JSON.stringify(events);
}
