/** Both ends of a channel in one program, with a record of all that they say to their users. */
import { randomBytes } from "node:crypto";
import { ChannelClient } from "../../src/channel/client.ts";
import type { Candidate, Client, ClientHandlers, Peer, PeerHandlers } from "../../src/channel/contract.ts";
import { writeWhole } from "../../src/channel/frame.ts";
import type { Welcome } from "../../src/channel/messages.ts";
import type { Outgoing } from "../../src/channel/outgoing.ts";
import { REGISTRATION_BYTES } from "../../src/channel/registration.ts";
import { ChannelServer, type ServerOptions } from "../../src/channel/server.ts";
import { seen } from "./packets.ts";

export const WELCOME: Welcome = {
  mode: "target",
  slot: 3,
  cookie: "0123456789abcdef",
  services: [
    { address: "10.0.0.2", port: 8080 },
    { address: null, port: 443 },
  ],
  version: "0.1.0",
};

/** What happened, in order: the name of the event, then what came with it. */
export type Events = unknown[][];

export const INSTANCE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
export const ADDRESS = Uint8Array.of(10, 0, 0, 1);

export function recordClient(events: Events): ClientHandlers {
  return {
    onWelcome: (welcome, authenticated) => events.push(["welcome", welcome, authenticated]),
    onResponse: (packet) => events.push(["response", seen(packet), packet.time, packet.think, packet.index]),
    onFacts: (facts) => events.push(["facts", facts]),
    onClosed: (code, text) => events.push(["closed", code, text]),
  };
}

export function recordPeer(events: Events, welcome: Welcome | string = WELCOME): PeerHandlers {
  return {
    admit: (copy: Candidate) => {
      events.push(["admit", copy.instance && [...copy.instance], copy.authenticated, copy.version]);
      return welcome;
    },
    onRegister: (rows, at, count) => {
      for (let i = 0; i < count; i++) {
        const row = at + i * REGISTRATION_BYTES;
        events.push(["register", Buffer.from(rows.subarray(row, row + REGISTRATION_BYTES)).toString("hex")]);
      }
    },
    onRanges: (ranges) => events.push(["ranges", ranges]),
    onAsk: (question) => events.push(["ask", question]),
    onClosed: (code, text) => events.push(["closed", code, text]),
  };
}

/** Takes all that waits, as one array. */
export function takeAll(outgoing: Outgoing): Uint8Array {
  const pieces: Uint8Array[] = [];
  while (outgoing.fill() > 0) {
    pieces.push(outgoing.bytes.slice(outgoing.from, outgoing.to));
    outgoing.take(outgoing.to - outgoing.from);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/** Carries what waits from one end to the other; whether there was anything. */
export function carry(from: { outgoing: Outgoing }, to: Client | Peer, now: number): boolean {
  const bytes = takeAll(from.outgoing);
  to.feed(bytes, 0, bytes.length, now);
  return bytes.length > 0;
}

/** Lets an open end say `frames`, in a record of its own, whatever they are, and carries that to the other. */
export function sayAnything(from: { outgoing: Outgoing }, to: Client | Peer, frames: Uint8Array): void {
  if (frames.length < 5) return;
  from.outgoing.fill();
  writeWhole(from.outgoing, frames);
  while (carry(from, to, 0));
}

/** Carries until nobody has anything to say. */
export function settle(client: Client, peer: Peer, now: number): void {
  while ([carry(client, peer, now), carry(peer, client, now)].includes(true));
}

export interface Ends {
  client: ChannelClient;
  clientEvents: Events;
  server: ChannelServer;
  peer: Peer;
  peerEvents: Events;
}

export interface Keys {
  copy?: Uint8Array | null;
  intercept?: Uint8Array | null;
}

export const makeKey = (): Uint8Array => new Uint8Array(randomBytes(32));

const SHARED = makeKey();
const BOTH: Keys = { copy: SHARED, intercept: SHARED };

/** Two ends that are connected but have not said a word. They have the same key, or those of `keys`; without one: --insecure. */
export function makeEnds(
  { copy = null, intercept = null }: Keys = BOTH,
  options: Partial<ServerOptions> = {},
  welcome: Welcome | string = WELCOME,
): Ends {
  const clientEvents: Events = [];
  const peerEvents: Events = [];
  const server = new ChannelServer({ key: intercept, insecure: intercept === null, ...options });
  const client = new ChannelClient({
    key: copy,
    instance: INSTANCE,
    handlers: recordClient(clientEvents),
  });
  client.begin(0);
  const peer = server.accept(ADDRESS, recordPeer(peerEvents, welcome), 0);
  return { client, clientEvents, server, peer, peerEvents };
}

/** Two ends of a channel that is open, their events forgotten. */
export function openEnds(options: Partial<ServerOptions> = {}): Ends {
  const ends = makeEnds(BOTH, options);
  settle(ends.client, ends.peer, 0);
  ends.clientEvents.length = 0;
  ends.peerEvents.length = 0;
  return ends;
}
