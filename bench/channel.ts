/**
 * Measures the channel between intercept and copy alone, on one core, in CPU time: what a response costs through memory (encoded,
 * and decoded), and through TCP on loopback with both ends in this process, a record for so many responses; each beside the same
 * frames without encryption; and what a registered flow costs. Prints one table.
 * usage: bun bench/channel.ts [--quick]
 */

import { randomBytes } from "node:crypto";
import { ChannelClient } from "../src/channel/client.ts";
import { CompatClient } from "../src/channel/compat-client.ts";
import type { Client, ClientHandlers, Peer, PeerHandlers } from "../src/channel/contract.ts";
import { FRAME_LIMIT, FrameReader } from "../src/channel/frame.ts";
import { Outgoing } from "../src/channel/outgoing.ts";
import { addRecord, readRecord } from "../src/channel/record.ts";
import { REGISTRATION_BYTES } from "../src/channel/registration.ts";
import { ChannelServer } from "../src/channel/server.ts";
import { accept, close, connect, flush, listen, localEndpoint, receive } from "../src/channel/socket.ts";
import { Packet } from "../src/wire/packet.ts";
import { type Figure, median, renderTable } from "./figures.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const CHUNK = 1 << 18;
/** Records between two looks at the sockets: most records of a round of the data plane. */
const ROUND = 256;

/** The headers of data with timestamps, as most responses are. */
function makeResponse(): Packet {
  const packet = new Packet(new Uint8Array(new ArrayBuffer(128)));
  packet.bytes[0] = 0x45;
  packet.bytes[9] = 6;
  packet.bytes[32] = 0x80;
  packet.bytes.set([1, 1, 8, 10], 40);
  packet.tcp = 20;
  packet.payload = 52;
  packet.end = 52;
  packet.length = 1448;
  return packet;
}

interface Ends {
  /** What carries responses to `feed`. */
  outgoing: Outgoing;
  say(packet: Packet): void;
  feed(bytes: Uint8Array, from: number, to: number): void;
  /** Responses that arrived. */
  arrived: () => number;
}

type Kind = "sealed" | "plain" | "compat";

const fail = (_: unknown, text: string) => {
  throw new Error(`Cannot measure: ${text}`);
};

/** The frames of xcopy's protocol without its handshake and without records: what there was in version 1 of it. */
function makePlain(): Ends {
  let arrived = 0;
  const outgoing = new Outgoing(4 << 20);
  const found = new Packet(new Uint8Array(0));
  const reader = new FrameReader((_, bytes, view, from, to) => {
    found.bytes = bytes;
    found.view = view;
    for (let at = from; at < to; ) {
      at = readRecord(found, at, to);
      if (found.length === 1448) arrived++;
    }
    return true;
  }, fail as never);
  reader.limit = FRAME_LIMIT;
  return {
    outgoing,
    say: (packet) => addRecord(outgoing, packet),
    feed: (bytes, from, to) => reader.feed(bytes, from, to),
    arrived: () => arrived,
  };
}

/** Both ends of an open channel, and flows that arrived. */
function connectEnds(isCompat: boolean) {
  const count = { responses: 0, flows: 0 };
  const handlers: ClientHandlers = {
    onWelcome: () => {},
    onResponse: (packet) => {
      if (packet.length === 1448) count.responses++;
    },
    onFacts: () => {},
    onClosed: fail,
  };
  const peerHandlers: PeerHandlers = {
    admit: () => ({ mode: "target", slot: 0, cookie: null, services: [], version: "0" }),
    onRegister: (_flows, _at, flows) => {
      count.flows += flows;
    },
    onRanges: () => {},
    onAsk: () => {},
    onClosed: fail,
  };
  const key = isCompat ? null : randomBytes(32);
  const server = new ChannelServer({ key, compat: isCompat ? "combined" : null });
  const client = isCompat
    ? new CompatClient(handlers)
    : new ChannelClient({ key, instance: randomBytes(8), handlers });
  client.begin(0);
  const peer = server.accept(LOOPBACK, peerHandlers, 0);
  while ([carry(client, peer), carry(peer, client)].includes(true));
  return { client, peer, count };
}

function makeEnds(kind: Kind): Ends {
  if (kind === "plain") return makePlain();
  const { client, peer, count } = connectEnds(kind === "compat");
  return {
    outgoing: peer.outgoing,
    say: (packet) => peer.response(packet),
    feed: (bytes, from, to) => client.feed(bytes, from, to, 0),
    arrived: () => count.responses,
  };
}

function carry(from: Client | Peer, to: Client | Peer): boolean {
  const { outgoing } = from;
  if (outgoing.fill() === 0) return false;
  to.feed(outgoing.bytes, outgoing.from, outgoing.to, 0);
  outgoing.take(outgoing.to - outgoing.from);
  return true;
}

/** ns of CPU that this process has used. */
function used(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** ns for a response through memory, encoded and decoded. */
function measureMemory(kind: Kind, count: number): number {
  const { outgoing, say, feed, arrived } = makeEnds(kind);
  const packet = makeResponse();
  const before = used();
  for (let done = 0; done < count; done += ROUND) {
    for (let i = 0; i < ROUND; i++) {
      packet.view.setUint32(24, done + i);
      say(packet);
    }
    while (outgoing.fill() > 0) {
      feed(outgoing.bytes, outgoing.from, outgoing.to);
      outgoing.take(outgoing.to - outgoing.from);
    }
  }
  const took = used() - before;
  if (arrived() < count) throw new Error(`Cannot measure: ${arrived()} of ${count} responses arrived`);
  return took / count;
}

/** ns for a response through TCP, writing and reading included, `together` at a time. */
function measureSockets(kind: Kind, count: number, together: number): number {
  const listener = listen([{ address: LOOPBACK, port: 0 }])[0]!;
  const near = connect(localEndpoint(listener));
  let far = accept(listener);
  while (typeof far === "number") far = accept(listener);
  const { outgoing, say, feed, arrived } = makeEnds(kind);
  const packet = makeResponse();
  const memory = new Uint8Array(new ArrayBuffer(CHUNK));
  let sent = 0;
  const before = used();
  while (arrived() < count) {
    for (let i = 0; i < together && sent < count; i++, sent++) {
      packet.view.setUint32(24, sent);
      say(packet);
    }
    flush(far.fd, outgoing);
    const read = receive(near, memory, 0, CHUNK);
    if (read > 0) feed(memory, 0, read);
  }
  const took = used() - before;
  for (const fd of [listener, near, far.fd]) close(fd);
  return took / count;
}

/** ns for a flow from the copy to the intercept, through memory. */
function measureFlows(count: number): number {
  const { client, peer, count: arrived } = connectEnds(false);
  const flow = new Uint8Array(REGISTRATION_BYTES);
  const before = used();
  for (let done = 0; done < count; done += ROUND) {
    for (let i = 0; i < ROUND; i++) client.register(flow, 0);
    while (carry(client, peer));
  }
  const took = used() - before;
  if (arrived.flows < count) throw new Error(`Cannot measure: ${arrived.flows} of ${count} flows arrived`);
  return took / count;
}

const quick = process.argv.includes("--quick");
const runs = quick ? 3 : 7;
const count = quick ? 200_000 : 2_000_000;

/** Responses of one record. */
const TOGETHER = [1, 16, ROUND];

// So that no run compiles what the others find compiled.
for (const kind of ["sealed", "plain", "compat"] as const) measureMemory(kind, count / 4);

const samples = Array.from({ length: runs }, () => ({
  // Beside each other: what else this machine does is the same for both.
  memory: { sealed: measureMemory("sealed", count), plain: measureMemory("plain", count) },
  compat: measureMemory("compat", count),
  sockets: TOGETHER.map((together) => {
    const some = together < ROUND ? count / 5 : count;
    return {
      sealed: measureSockets("sealed", some, together),
      plain: measureSockets("plain", some, together),
    };
  }),
  flows: measureFlows(count),
}));
type Sample = (typeof samples)[number];
const of = (value: (sample: Sample) => number) => median(samples.map(value));
const ns = (value: number) => `${value.toFixed(0)} ns`;
const compared = (name: string, pair: (sample: Sample) => { sealed: number; plain: number }): Figure => ({
  name,
  value: ns(of((sample) => pair(sample).sealed)),
  without: ns(of((sample) => pair(sample).plain)),
  aim: `${(100 * (of((sample) => pair(sample).sealed / pair(sample).plain) - 1)).toFixed(0)} % more`,
});
const figures: Figure[] = [
  compared("a response, encoded and decoded", ({ memory }) => memory),
  ...TOGETHER.map((together, index) =>
    compared(`a response through TCP, ${together} in a record`, ({ sockets }) => sockets[index]!),
  ),
  { name: "a response for tcpcopy 1.x, encoded and decoded", value: ns(of(({ compat }) => compat)) },
  { name: "a flow, registered", value: ns(of(({ flows }) => flows)) },
];
console.log(
  `the channel alone, both ends, one core, CPU, medians of ${runs} runs\n\n${renderTable(figures, ["sealed", "not"])}`,
);
