/**
 * A copy without an engine: speaks the channel to an intercept, and HTTP by hand-made packets from addresses that are not
 * its own. usage: bun fake-copy.ts OPTIONS (JSON: FakeOptions). Prints a JSON object per event; ends with SIGTERM.
 */
import { randomBytes } from "node:crypto";
import { ChannelClient } from "../../src/channel/client.ts";
import { CompatClient } from "../../src/channel/compat-client.ts";
import type { Client, ClientHandlers } from "../../src/channel/contract.ts";
import type { Welcome } from "../../src/channel/messages.ts";
import { OPEN, OPENING, REGISTRATION_BYTES, writeProof } from "../../src/channel/registration.ts";
import { formatAddress, parseAddress } from "../../src/config/address.ts";
import { AF_INET, AF_INET6, address, libc, monotonicMicroseconds, SOCK_RAW } from "../../src/native/libc.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { KEY } from "./key.ts";
import { makeSegment } from "./segment.ts";

export interface FakeOptions {
  intercept: string;
  port?: number;
  /** Null: none; absent: that of the tests. */
  key?: string | null;
  target: string;
  targetPort: number;
  /** The addresses it sends from, in turn. */
  clients: readonly string[];
  /** Sessions in all, and at a time. */
  sessions: number;
  together?: number;
  firstPort?: number;
  /** How the intercept gets to know its flows: by the cookie, by REGISTER before the SYN or ms after it, by ranges. */
  by: "cookie" | "register" | "ranges" | "nothing";
  registerAfter?: number;
  compat?: "combined" | "separate";
  /** Connections to the intercept. */
  connections?: number;
  /** Answers of nginx have this many bytes of body at least. */
  question?: { what: string; [detail: string]: unknown };
  /** Sends nothing. */
  silent?: boolean;
  /** Registers all ports of the first of `clients` from 1024 on, by guesses, and sends marked SYNs from these ports of it. */
  strangerTo?: number[];
}

const options = JSON.parse(process.argv[2]!) as FakeOptions;
const { clients, by, compat, connections = 1, together = 1, firstPort = 20000 } = options;
const target = parseAddress(options.target)!;
const instance = randomBytes(8);
const say = (event: object) => console.log(JSON.stringify(event));

/** RETRY ms between two tries of a segment, GIVE_UP ms until a session has failed. */
const RETRY = 300;
const GIVE_UP = 6000;

interface Session {
  client: Uint8Array;
  port: number;
  state: "syn" | "request" | "fin" | "done";
  seq: number;
  ack: number;
  body: number;
  sentAt: number;
  since: number;
}

const sessions = new Map<string, Session>();
let started = 0;
let ok = 0;
let failed = 0;
let responses = 0;
/** Bytes of payload that came with them. */
let payload = 0;
let resets = 0;
let cookie: string | null = null;
let isOpen = false;
const ends: { client: Client; send(): void }[] = [];

const raw = libc.socket(target.family === 4 ? AF_INET : AF_INET6, SOCK_RAW, 255);
function inject(bytes: Uint8Array): void {
  const name = new Uint8Array(new ArrayBuffer(28));
  name[0] = target.family === 4 ? AF_INET : AF_INET6;
  name.set(target.bytes, target.family === 4 ? 4 : 8);
  libc.sendto(raw, address(bytes), bytes.length, 0, address(name), target.family === 4 ? 16 : 28);
}

/** The registration of a session, with what is known of its numbers. */
function rowOf({ client, port, seq, ack, state }: Session): Uint8Array {
  const row = new Uint8Array(REGISTRATION_BYTES);
  row.set(client, 0);
  row.set(target.bytes, 16);
  const view = new DataView(row.buffer);
  view.setUint16(32, port);
  view.setUint16(34, options.targetPort);
  if (state === "syn") writeProof(view, 0, seq + 1, seq + 1, 0, OPENING);
  else writeProof(view, 0, seq, seq + REQUEST.length + 1, ack, OPEN);
  return row;
}

const REQUEST = new TextEncoder().encode("GET /fake HTTP/1.1\r\nHost: fake\r\nConnection: close\r\n\r\n");

function sendSegment(session: Session, flags: number, payload = new Uint8Array(0)): void {
  const carried = flags === SYN && by === "cookie" && cookie !== null ? Buffer.from(cookie, "hex") : null;
  inject(
    makeSegment({
      source: session.client,
      destination: target.bytes,
      sourcePort: session.port,
      destinationPort: options.targetPort,
      seq: session.seq,
      ack: flags & ACK ? session.ack : 0,
      flags,
      cookie: carried,
      payload,
    }),
  );
}

function send(session: Session): void {
  session.sentAt = performance.now();
  if (session.state === "syn") sendSegment(session, SYN);
  else if (session.state === "request") sendSegment(session, PSH | ACK, REQUEST);
  else sendSegment(session, FIN | ACK);
}

function start(): void {
  const client = parseAddress(clients[started % clients.length]!)!.bytes;
  const port = firstPort + Math.floor(started / clients.length);
  started++;
  const now = performance.now();
  const session: Session = {
    client,
    port,
    state: "syn",
    seq: (Math.random() * 2 ** 32) >>> 0,
    ack: 0,
    body: 0,
    sentAt: now,
    since: now,
  };
  sessions.set(`${formatAddress(client)} ${port}`, session);
  const register = () => {
    const row = rowOf(session);
    for (const { client } of ends) client.register(row, 0);
    for (const end of ends) end.send();
  };
  if (by === "register" && options.registerAfter === undefined) register();
  if (by === "register" && options.registerAfter !== undefined) setTimeout(register, options.registerAfter);
  send(session);
}

function end(key: string, session: Session, good: boolean): void {
  session.state = "done";
  sessions.delete(key);
  if (good) ok++;
  else failed++;
}

function onResponse(packet: Packet): void {
  responses++;
  payload += packet.end - packet.payload;
  const at = packet.ip + (packet.family === 4 ? 16 : 24);
  const client = packet.bytes.slice(at, at + (packet.family === 4 ? 4 : 16));
  const key = `${formatAddress(client)} ${packet.destinationPort}`;
  const session = sessions.get(key);
  if (!session) return;
  const { flags } = packet;
  if (flags & RST) {
    resets++;
    end(key, session, false);
  } else if (session.state === "syn" && (flags & (SYN | ACK)) === (SYN | ACK)) {
    session.seq = (session.seq + 1) >>> 0;
    session.ack = (packet.seq + 1) >>> 0;
    session.state = "request";
    sendSegment(session, ACK);
    send(session);
  } else if (packet.seq === session.ack) {
    session.body += packet.length;
    const isEnd = (flags & FIN) !== 0;
    session.ack = (session.ack + packet.length + (isEnd ? 1 : 0)) >>> 0;
    if (session.state === "request" && packet.ack === (session.seq + REQUEST.length) >>> 0) {
      session.seq = packet.ack;
      session.state = "fin";
    }
    if (isEnd) {
      sendSegment(session, FIN | ACK);
      end(key, session, session.body > 100);
    } else if (packet.length > 0) sendSegment(session, ACK);
  }
}

/** Does what a copy must not be able to do to a real client. */
async function harm(channel: Client, ports: number[], flush: () => void): Promise<void> {
  const client = parseAddress(clients[0]!)!.bytes;
  const sessionOf = (port: number, state: Session["state"]): Session => {
    const [seq, ack] = [0, 0].map(() => (Math.random() * 2 ** 32) >>> 0) as [number, number];
    return { client, port, state, seq, ack, body: 0, sentAt: 0, since: 0 };
  };
  setInterval(() => {
    for (const port of ports) sendSegment(sessionOf(port, "syn"), SYN);
  }, 50);
  for (let port = 1024; port < 65_536; port++) {
    channel.register(rowOf(sessionOf(port, port & 1 ? "syn" : "request")), 0);
    // No more than what may wait to be written.
    if (port % 4096 !== 0) continue;
    for (flush(); !channel.outgoing.isEmpty; flush()) await Bun.sleep(1);
  }
  flush();
}

async function connect(which: number): Promise<void> {
  const handlers: ClientHandlers = {
    onWelcome: (welcome: Welcome, authenticated: boolean) => {
      cookie = welcome.cookie;
      isOpen = true;
      say({ kind: "welcome", ...welcome, authenticated });
      if (by === "ranges" && which === 0)
        channel.ranges(clients.map((client) => ({ first: client, last: client })));
      if (by === "register") for (const session of sessions.values()) channel.register(rowOf(session), 0);
      if (options.strangerTo) harm(channel, options.strangerTo, flush);
      if (options.question && which === 0) channel.ask({ id: 1, ...options.question });
      flush();
    },
    onResponse,
    onFacts: (facts) => say({ kind: "facts", ...facts }),
    onClosed: (code, text) => {
      isOpen = false;
      say({ kind: "closed", code, text });
    },
  };
  const key = options.key === null ? null : new TextEncoder().encode(options.key ?? KEY);
  const channel = compat ? new CompatClient(handlers) : new ChannelClient({ key, instance, handlers });
  let socket: Awaited<ReturnType<typeof Bun.connect>> | null = null;
  const flush = () => {
    while (socket && channel.outgoing.fill() > 0) {
      const { bytes, from, to } = channel.outgoing;
      const written = socket.write(bytes.subarray(from, to));
      if (written <= 0) return;
      channel.outgoing.take(written);
    }
  };
  ends[which] = { client: channel, send: flush };
  for (;;) {
    const gone = Promise.withResolvers<void>();
    try {
      socket = await Bun.connect({
        hostname: options.intercept,
        port: options.port ?? 36524,
        socket: {
          data(_, data) {
            channel.feed(data, 0, data.length, monotonicMicroseconds());
            flush();
            if (channel.state === "closed") socket?.end();
          },
          drain: flush,
          close() {
            channel.disconnected("");
            gone.resolve();
          },
        },
      });
      channel.begin(monotonicMicroseconds());
      flush();
      await gone.promise;
    } catch {
      // Nobody listens there now.
    }
    socket = null;
    await Bun.sleep(50);
  }
}

for (let which = 0; which < connections; which++) connect(which);
process.on("SIGTERM", () => process.exit(0));
let reported = "";
setInterval(() => {
  const now = performance.now();
  for (const [key, session] of sessions) {
    if (now - session.since > GIVE_UP) end(key, session, false);
    else if (isOpen && now - session.sentAt > RETRY) send(session);
  }
  while (!options.silent && isOpen && sessions.size < together && started < options.sessions) start();
  const report = JSON.stringify({ kind: "report", started, ok, failed, resets, responses, payload });
  if (report !== reported) console.log(report);
  reported = report;
}, 5);
