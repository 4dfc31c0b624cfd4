/**
 * Measures the channel between intercept and copy alone, on one core: what a response costs through memory (encoded, and
 * decoded), and through TCP on loopback with both ends in this process; and what a registered flow costs. Prints one table.
 * usage: bun bench/channel.ts [--quick]
 */
import { randomBytes } from "node:crypto";
import { ChannelClient } from "../src/channel/client.ts";
import { CompatClient } from "../src/channel/compat-client.ts";
import type { Client, ClientHandlers, Peer, PeerHandlers } from "../src/channel/contract.ts";
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
  client: Client;
  peer: Peer;
  /** Responses and flows that arrived. */
  arrived: () => number;
}

function makeEnds(compat: boolean): Ends {
  let arrived = 0;
  const handlers: ClientHandlers = {
    onWelcome: () => {},
    onResponse: (packet) => {
      if (packet.length === 1448) arrived++;
    },
    onFacts: () => {},
    onClosed: (_, text) => {
      throw new Error(`Cannot measure: ${text}`);
    },
  };
  const peerHandlers: PeerHandlers = {
    admit: () => ({ mode: "target", slot: 0, cookie: null, services: [], version: "0" }),
    onRegister: (_flows, _at, count) => {
      arrived += count;
    },
    onRanges: () => {},
    onAsk: () => {},
    onClosed: handlers.onClosed,
  };
  const server = new ChannelServer({ key: null, insecure: true, compat: compat ? "combined" : null });
  const client = compat
    ? new CompatClient(handlers)
    : new ChannelClient({ key: null, instance: randomBytes(8), handlers });
  client.begin(0);
  const peer = server.accept(LOOPBACK, peerHandlers, 0);
  while ([carry(client, peer), carry(peer, client)].includes(true));
  return { client, peer, arrived: () => arrived };
}

function carry(from: Client | Peer, to: Client | Peer): boolean {
  const { outgoing } = from;
  if (outgoing.fill() === 0) return false;
  to.feed(outgoing.bytes, outgoing.from, outgoing.to, 0);
  outgoing.take(outgoing.to - outgoing.from);
  return true;
}

interface Costs {
  /** ns for one. */
  encode: number;
  decode: number;
}

function measureMemory(compat: boolean, count: number): Costs {
  const { client, peer, arrived } = makeEnds(compat);
  const packet = makeResponse();
  let encode = 0;
  let decode = 0;
  for (let done = 0; done < count; done += ROUND) {
    const began = Bun.nanoseconds();
    for (let i = 0; i < ROUND; i++) {
      packet.view.setUint32(24, done + i);
      peer.response(packet);
    }
    peer.outgoing.fill();
    const encoded = Bun.nanoseconds();
    while (carry(peer, client));
    encode += encoded - began;
    decode += Bun.nanoseconds() - encoded;
  }
  if (arrived() < count) throw new Error(`Cannot measure: ${arrived()} of ${count} responses arrived`);
  return { encode: encode / count, decode: decode / count };
}

/** ns for a response through TCP, writing and reading included. */
function measureSockets(count: number): number {
  const listener = listen([{ address: LOOPBACK, port: 0 }])[0]!;
  const near = connect(localEndpoint(listener));
  let far = accept(listener);
  while (typeof far === "number") far = accept(listener);
  const { client, peer, arrived } = makeEnds(false);
  const packet = makeResponse();
  const memory = new Uint8Array(new ArrayBuffer(CHUNK));
  let sent = 0;
  const began = Bun.nanoseconds();
  while (arrived() < count) {
    for (let i = 0; i < ROUND && sent < count; i++, sent++) {
      packet.view.setUint32(24, sent);
      peer.response(packet);
    }
    flush(far.fd, peer.outgoing);
    const read = receive(near, memory, 0, CHUNK);
    if (read > 0) client.feed(memory, 0, read, 0);
  }
  const took = Bun.nanoseconds() - began;
  for (const fd of [listener, near, far.fd]) close(fd);
  return took / count;
}

/** ns for a flow from the copy to the intercept, through memory. */
function measureFlows(count: number): number {
  const { client, peer, arrived } = makeEnds(false);
  const flow = new Uint8Array(36);
  const began = Bun.nanoseconds();
  for (let done = 0; done < count; done += ROUND) {
    for (let i = 0; i < ROUND; i++) client.register(flow, 0);
    while (carry(client, peer));
  }
  const took = Bun.nanoseconds() - began;
  if (arrived() < count) throw new Error(`Cannot measure: ${arrived()} of ${count} flows arrived`);
  return took / count;
}

const quick = process.argv.includes("--quick");
const runs = quick ? 3 : 7;
const count = quick ? 500_000 : 2_000_000;

const samples = Array.from({ length: runs }, () => ({
  own: measureMemory(false, count),
  compat: measureMemory(true, count),
  sockets: measureSockets(count),
  flows: measureFlows(count),
}));
const of = (value: (sample: (typeof samples)[number]) => number) => median(samples.map(value));
const figure = (name: string, ns: number): Figure => ({
  name,
  value: `${ns.toFixed(0)} ns`,
  without: `${(1000 / ns).toFixed(1)} M/s`,
});
const figures = [
  figure(
    "a response, encoded",
    of(({ own }) => own.encode),
  ),
  figure(
    "a response, decoded",
    of(({ own }) => own.decode),
  ),
  figure(
    "a response, encoded for tcpcopy 1.x",
    of(({ compat }) => compat.encode),
  ),
  figure(
    "a response of intercept 1.x, decoded",
    of(({ compat }) => compat.decode),
  ),
  figure(
    "a response through TCP, both ends",
    of(({ sockets }) => sockets),
  ),
  figure(
    "a flow, registered",
    of(({ flows }) => flows),
  ),
];
console.log(
  `the channel alone, one core, medians of ${runs} runs\n\n${renderTable(figures, ["each", "per second"])}`,
);
