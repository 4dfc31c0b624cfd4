/** Turns wait for what production answered to their client's login; in whatever order both sides' packets are captured. */
import { expect, test } from "bun:test";
import {
  ADMITTED,
  GO,
  type Login,
  type Outlet,
  type ProtocolModule,
  type ProtocolSession,
  REFUSED,
  UNDECIDED,
} from "../../src/protocol/module.ts";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { packet } from "./packets.ts";
import { Simulation, texts } from "./simulation.ts";

const ISN = 0xffff_ff00;
const SERVER_ISN = 0x7fff_fff0;
const CLIENT = { sourcePort: 40000, destinationPort: 80 };

/** What a session was told, of all sessions. */
const told: string[] = [];

/** Requests are lines; production says yes or no with "+" or "-", and greets with "!", before which there is no connection. */
class Guarded implements ProtocolSession {
  private state: Login = UNDECIDED;
  private isOpen = false;
  private sent = 0;
  private answered = 0;

  constructor(private readonly outlet: Outlet) {}

  request(bytes: Uint8Array, from: number, to: number): void {
    this.outlet.begin(0);
    this.outlet.write(bytes, from, to);
  }

  production(bytes: Uint8Array, from: number, to: number, _missing: number, seq: number): void {
    const said = new TextDecoder().decode(bytes.subarray(from, to));
    told.push(`${said} at ${(seq - SERVER_ISN) | 0}`);
    if (said.includes("!")) this.isOpen = true;
    if (said.includes("+")) this.state = ADMITTED;
    if (said.includes("-")) this.state = REFUSED;
    this.outlet.wake();
  }

  productionOpened(seq: number): void {
    told.push(`opened at ${(seq - SERVER_ISN) | 0}`);
  }

  productionEnded(seq: number): void {
    told.push(`ended at ${(seq - SERVER_ISN) | 0}`);
  }

  login(): Login {
    return this.state;
  }

  undecided(): void {
    told.push("undecided");
  }

  mayConnect(): boolean {
    return this.isOpen;
  }

  response(_bytes: Uint8Array, from: number, to: number): void {
    this.answered += to - from;
    this.outlet.wake();
  }

  mayBegin(): boolean {
    return this.isAnswered();
  }

  begin(): typeof GO {
    this.sent++;
    return GO;
  }

  skipped(): void {
    told.push("skipped");
  }

  isAnswered(): boolean {
    return this.answered >= this.sent * 100;
  }

  connected(): void {}

  disconnected(): void {}

  close(): void {}
}

const MODULE: ProtocolModule = {
  name: "guarded",
  waitsForever: true,
  keptFor: 0,
  open: (outlet) => new Guarded(outlet),
};

/** A connection whose packets are captured as the test says. */
function connection() {
  told.length = 0;
  const net = new Simulation({ seed: 1, config: { modules: [MODULE] } });
  let seq = ISN + 1;
  let said = SERVER_ISN + 1;
  const client = (flags: number, text = "", ack = said): void => {
    const payload = new TextEncoder().encode(text);
    net.capture({ ...CLIENT, seq: seq >>> 0, ack: ack >>> 0, flags: flags | ACK, payload });
    seq += payload.length;
  };
  const server = (flags: number, text = "", ack = seq): void => {
    const from = { source: "10.0.0.1", destination: "10.0.0.9", sourcePort: 80, destinationPort: 40000 };
    const payload = new TextEncoder().encode(text);
    const first = flags & SYN ? said - 1 : said;
    const fields = { ...from, seq: first >>> 0, ack: ack >>> 0, flags: flags | ACK, payload, time: net.now };
    net.engine.production(packet(fields), net.now);
    said += payload.length;
  };
  const syn = () => net.capture({ ...CLIENT, seq: ISN >>> 0, flags: SYN });
  return { net, syn, client, server };
}

const REQUESTS = ["one\n", "two\n"];

test.each([
  ["after", "+", REQUESTS],
  ["before", "+", REQUESTS],
  ["after", "-", []],
  ["before", "-", []],
] as const)("requests captured %s production's %s", (order, answer, expected) => {
  const { net, syn, client, server } = connection();
  syn();
  server(SYN);
  client(0);
  server(PSH, "!");
  if (order === "after") server(PSH, answer);
  for (const request of REQUESTS) client(PSH, request);
  net.run(2_000_000);
  if (order === "before") {
    expect(texts(net).join("")).toBe("");
    server(PSH, answer);
  }
  net.run(1_000_000);
  expect(texts(net).join("")).toBe(expected.join(""));
  expect(net.count("dropped.login")).toBe(2 - expected.length);
  expect(net.count("turnsPending")).toBe(0);
  expect(told.slice(0, 2)).toEqual(["opened at 1", "! at 1"]);
});

test("what production says before the last packet of the handshake was read, and before its own SYN-ACK was", () => {
  const { net, syn, client, server } = connection();
  syn();
  server(PSH, "!");
  server(SYN);
  server(PSH, "+");
  client(0);
  client(PSH, "one\n");
  server(FIN, "");
  net.run(1_000_000);
  expect(texts(net).join("")).toBe("one\n");
  expect(told).toEqual(["! at 1", "opened at 2", "+ at 2", "ended at 3"]);
  expect(net.count("opened")).toBe(1);
  expect(net.count("repeated")).toBe(0);
});

test("nobody's packets open no connection, and their requests are dropped after some seconds", () => {
  const { net, syn, client, server } = connection();
  syn();
  client(0);
  for (const request of REQUESTS) client(PSH, request);
  net.run(4_000_000);
  expect([net.count("dropped.undecided"), net.count("turnsPending")]).toEqual([0, 2]);
  net.run(2_000_000);
  expect([net.count("dropped.undecided"), net.count("turnsPending")]).toEqual([2, 0]);
  expect([net.sent.length, told]).toEqual([0, ["undecided", "skipped", "undecided", "skipped"]]);
  // It was the capture that had lost it.
  server(PSH, "!+");
  client(PSH, "three\n");
  net.run(1_000_000);
  expect(texts(net)).toEqual(["three\n"]);
});

test("more than a megabyte is not kept for a response", () => {
  const { net, syn, client } = connection();
  syn();
  client(0);
  const request = `${"x".repeat(60_000)}\n`;
  for (let count = 0; count < 20; count++) client(PSH, request);
  net.run(1000);
  expect(net.count("dropped.undecided")).toBe(3);
  expect(net.count("turnsPending")).toBe(17);
});

test("a session without a connection ends with its client", () => {
  for (const flags of [FIN, RST]) {
    const { net, syn, client } = connection();
    syn();
    client(0);
    client(flags);
    net.run(1_000_000);
    expect([net.count("active"), net.sent.length]).toEqual([0, 0]);
    expect([net.count("opened"), net.count("failed"), net.count("shed")]).toEqual([1, 1, 0]);
  }
});
