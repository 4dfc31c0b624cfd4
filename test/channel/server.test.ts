/** Many connections at once, and addresses that fail too often. */
import { expect, test } from "bun:test";
import { Backoff } from "../../src/channel/backoff.ts";
import { ChannelClient } from "../../src/channel/client.ts";
import type { Peer } from "../../src/channel/contract.ts";
import { FailedHandshakes } from "../../src/channel/failed-handshakes.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import { ADDRESS, type Events, INSTANCE, makeKey, recordClient, recordPeer, settle } from "./ends.ts";
import { fc } from "./seed.ts";

const MINUTE = 60e6;
const key = makeKey();

/** One whole try of a copy at a server: how it ended for the copy. */
function call(server: ChannelServer, copyKey: Uint8Array | null, address: Uint8Array, now: number): unknown {
  const events: Events = [];
  const client = new ChannelClient({ key: copyKey, instance: INSTANCE, handlers: recordClient(events) });
  client.begin(now);
  settle(client, server.accept(address, recordPeer([]), now), now);
  const [event, code] = events.at(-1)!;
  return event === "closed" ? code : event;
}

test("the oldest of too many unfinished handshakes is closed, open channels are not", () => {
  const server = new ChannelServer({ key: null, insecure: true, unfinished: 3 });
  const events: Events = [];
  const client = new ChannelClient({ key: null, instance: INSTANCE, handlers: recordClient([]) });
  client.begin(0);
  const open = server.accept(ADDRESS, recordPeer(events), 0);
  settle(client, open, 0);
  const peers: Peer[] = [];
  for (let i = 0; i < 5; i++) {
    peers.push(server.accept(ADDRESS, recordPeer(events), 0));
    expect(server.unfinished).toBeLessThanOrEqual(3);
  }
  expect(peers.map((peer) => peer.state)).toEqual(["closed", "closed", ...Array(3).fill("handshake")]);
  expect(open.state).toBe("open");
  expect(server.closed.crowded).toBe(2);
  peers[3]!.disconnected("");
  expect(server.unfinished).toBe(2);
});

test("an address that failed ten times is refused for the rest of a minute, even with the right key", () => {
  const server = new ChannelServer({ key });
  const wrong = makeKey();
  for (let i = 0; i < 10; i++) expect(call(server, wrong, ADDRESS, i)).toBe("wrong key");
  expect(call(server, wrong, ADDRESS, 10)).toBe("limited");
  expect(call(server, key, ADDRESS, 10)).toBe("limited");
  expect(call(server, key, Uint8Array.of(10, 0, 0, 2), 10)).toBe("welcome");
  expect(call(server, key, ADDRESS, MINUTE - 1)).toBe("limited");
  expect(call(server, key, ADDRESS, MINUTE)).toBe("welcome");
  expect(server.closed).toMatchObject({ "wrong key": 10, limited: 3 });
});

test("garbage counts as failures, mistakes of configuration and ended connections do not", () => {
  const server = new ChannelServer({ key });
  for (let i = 0; i < 20; i++) {
    expect(call(server, null, ADDRESS, i)).toBe("copy without key");
    server.accept(ADDRESS, recordPeer([]), i).disconnected("");
  }
  expect(call(server, key, ADDRESS, 20)).toBe("welcome");
  for (let i = 0; i < 10; i++) {
    server.accept(ADDRESS, recordPeer([]), i).feed(new TextEncoder().encode("GET / HTTP/1.1\r\n"), 0, 16, 30);
  }
  expect(call(server, key, ADDRESS, 40)).toBe("limited");
});

test("an IPv6 network of 64 bits is one address", () => {
  const failedHandshakes = new FailedHandshakes();
  const address = (network: number, host: number) => {
    const bytes = new Uint8Array(16).fill(network, 0, 8);
    bytes[15] = host;
    return bytes;
  };
  for (let host = 0; host < 10; host++) failedHandshakes.add(address(1, host), 0);
  expect(failedHandshakes.areTooMany(address(1, 99), 0)).toBe(true);
  expect(failedHandshakes.areTooMany(address(2, 99), 0)).toBe(false);
});

test("failures of too many addresses: the oldest address is forgotten", () => {
  const failedHandshakes = new FailedHandshakes();
  const address = (number: number) => Uint8Array.of(10, 0, number >> 8, number & 255);
  for (let i = 0; i < 10; i++) failedHandshakes.add(address(0), 0);
  for (let number = 1; number < 1024; number++) failedHandshakes.add(address(number), 1);
  expect(failedHandshakes.areTooMany(address(0), 2)).toBe(true);
  failedHandshakes.add(address(1024), 2);
  expect(failedHandshakes.areTooMany(address(0), 2)).toBe(false);
});

test("a copy that cannot connect waits longer each time, from 100 ms to 5 s, never all at the same moment", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 20 }),
      (chances) => {
        const backoff = new Backoff();
        for (const [index, chance] of chances.entries()) {
          const most = Math.min(100_000 * 2 ** index, 5_000_000);
          const wait = backoff.next(chance);
          expect(wait).toBeGreaterThanOrEqual(most / 2);
          expect(wait).toBeLessThan(most);
        }
        backoff.reset();
        expect(backoff.next(0)).toBe(50_000);
      },
    ),
  );
});
