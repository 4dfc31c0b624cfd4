/**
 * The engine between captured packets and a real target, in a namespace: its packets leave through the real injector, the
 * target's come back through a packet socket. usage: agent.ts TARGET PORT JSON, where JSON is a Job. Prints the engine's
 * counters as JSON.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Engine } from "../../../src/engine/engine.ts";
import { COUNTER, ENGINE_COUNTERS, type EngineCounter } from "../../../src/engine/sessions/counters.ts";
import { createInjector } from "../../../src/inject/create.ts";
import { resolveEgress } from "../../../src/inject/egress.ts";
import type { EgressConfig } from "../../../src/inject/path.ts";
import {
  AF_PACKET,
  address,
  libc,
  MSG_DONTWAIT,
  monotonicMicroseconds,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  sleepMicroseconds,
} from "../../../src/native/libc.ts";
import { PacketBatch } from "../../../src/wire/batch.ts";
import { ipPair } from "../../../src/wire/ip.ts";
import { Packet } from "../../../src/wire/packet.ts";
import { packet } from "../packets.ts";
import { parseScript } from "../script.ts";
import { BASIC } from "../simulation.ts";
import { type Captured, type Load, packetsOfLoad, packetsOfScript } from "./clients.ts";

export interface Job {
  load?: Load;
  /** Names of scripts, each the client of its index. */
  scripts?: string[];
  /** us that responses take longer. */
  delay?: number;
  /** Source ports: 20000 to 29999 if not given. */
  ports?: [number, number];
  /** Ends without a word to the target, as a killed process does. */
  isKilled?: boolean;
  /** us to go on for after the last captured packet, at most; less if every session has ended before. */
  linger: number;
}

const SO_RCVBUFFORCE = 33;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERNET_HEADER = 14;
/** Enough for all headers: of a response no more is captured. */
const SNAP = 256;
/** Responses per round. */
const ROUND = 256;
/** us between two looks. */
const LOOK = 200;

const [target, port, text] = process.argv.slice(2) as [string, string, string];
const job = JSON.parse(text) as Job;
const captured: Captured[] = job.load
  ? packetsOfLoad(job.load)
  : (job.scripts ?? []).flatMap(readScript).sort((a, b) => a.at - b.at);

function readScript(name: string, session: number): Captured[] {
  const source = readFileSync(join(import.meta.dir, "../scripts", name), "utf8");
  return packetsOfScript(parseScript(name, source), session);
}

/** A packet socket that sees what arrives on an interface. */
function openTap({ ifindex }: EgressConfig): number {
  // The protocol is in network order.
  const protocol = ((ETHERTYPE_IPV4 & 255) << 8) | (ETHERTYPE_IPV4 >> 8);
  const fd = Number(libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, protocol));
  const size = new Uint32Array([64 << 20]);
  libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, address(size), 4);
  const link = new Uint8Array(20);
  const view = new DataView(link.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol, true);
  view.setInt32(4, ifindex, true);
  if (libc.bind(fd, address(link), link.length) !== 0) throw new Error("Cannot capture the responses");
  return fd;
}

const targetBytes = Uint8Array.from(target.split("."), Number);
const { egress, source } = await resolveEgress(targetBytes, 4);
const batch = new PacketBatch();
const injector = createInjector(egress, batch, 0);
const tap = openTap(egress);
const counters = new Float64Array(ENGINE_COUNTERS.length);
const count = (name: EngineCounter): number => counters[COUNTER[name]]!;
const begin = monotonicMicroseconds();
const engine = new Engine(
  {
    services: [[[{ weight: 1, paths: [0] }]]],
    ...BASIC,
    turnTimeout: 20_000_000,
    paths: [{ pair: ipPair(source, targetBytes), targetPort: Number(port), egress: 0, mtu: egress.mtu }],
    ports: [job.ports ?? [20_000, 29_999]],
    maxSessions: 16_384,
    memory: 256 << 20,
    sessionBytes: 128 << 20,
    sessionTimeout: 60_000_000,
    idleTimeout: 180_000_000,
    counters,
    openFlow: () => {},
    random: Math.random,
  },
  [batch],
  begin,
);

const frame = new Uint8Array(new ArrayBuffer(SNAP));
const frameAt = address(frame);
/** Responses on their way, if they are to be late. */
const late: { at: number; bytes: Uint8Array }[] = [];

function receive(now: number): number {
  for (let i = 0; i < ROUND; i++) {
    const length = Number(libc.recv(tap, frameAt, SNAP, MSG_DONTWAIT));
    if (length <= 0) return i;
    if (job.delay) late.push({ at: now + job.delay, bytes: frame.slice(0, length) });
    else respond(frame.subarray(0, length), now);
  }
  return ROUND;
}

function respond(bytes: Uint8Array, now: number): void {
  const response = new Packet(bytes);
  const { view } = response;
  response.ip = ETHERNET_HEADER;
  response.tcp = ETHERNET_HEADER + (bytes[ETHERNET_HEADER]! & 15) * 4;
  if (bytes[ETHERNET_HEADER + 9] !== 6 || response.sourcePort !== Number(port)) return;
  response.payload = response.tcp + response.headerLength;
  response.end = bytes.length;
  response.length = view.getUint16(ETHERNET_HEADER + 2) - (response.payload - ETHERNET_HEADER);
  response.time = now;
  engine.response(response, now);
}

function send(): void {
  injector.send(batch);
  batch.clear();
}

let next = 0;
let lastAt = begin;
/** us between two rounds at most, and when the last one began. */
let longestPause = 0;
let roundAt = begin;
for (;;) {
  const now = monotonicMicroseconds();
  longestPause = Math.max(longestPause, now - roundAt);
  roundAt = now;
  const responses = receive(now);
  while (late.length > 0 && late[0]!.at <= now) respond(late.shift()!.bytes, now);
  for (let i = 0; i < ROUND && next < captured.length && captured[next]!.at <= now - begin; i++, next++) {
    engine.request(packet({ ...captured[next]!.fields, time: now }), now);
    lastAt = now;
  }
  engine.advance(now);
  while (!engine.dispatch(now)) send();
  send();
  const isFed = next === captured.length;
  if (isFed && (count("active") === 0 || now >= lastAt + job.linger)) break;
  if (responses < ROUND) sleepMicroseconds(Math.min(LOOK, Math.max(1, engine.wait(now, LOOK))));
}
const result = Object.fromEntries(Object.keys(COUNTER).map((name) => [name, count(name as EngineCounter)]));
while (!job.isKilled && !engine.end(monotonicMicroseconds())) send();
send();
console.log(JSON.stringify({ ...result, sendErrors: injector.errors, longestPause }));
process.exit(0);
