/** Which copies and intercepts accept each other, and what both are told if they do not. */
import { describe, expect, test } from "bun:test";
import { ChannelClient } from "../../src/channel/client.ts";
import { HAS_KEY, makeHello, makeProof, PROTOCOL_VERSION } from "../../src/channel/hello.ts";
import {
  ADDRESS,
  carry,
  type Ends,
  type Events,
  INSTANCE,
  type Keys,
  makeEnds,
  makeKey,
  recordClient,
  recordPeer,
  settle,
  takeAll,
  WELCOME,
} from "./ends.ts";

const key = makeKey();
const NO_INSTANCE = new Uint8Array(8);

/** The last event of each side. */
function ends({ clientEvents, peerEvents }: Ends): [unknown, unknown] {
  return [clientEvents.at(-1), peerEvents.at(-1)];
}

const COPY_WITHOUT = ["closed", "copy without key", "the intercept has a key, the copy has none"];
const INTERCEPT_WITHOUT = ["closed", "intercept without key", "the copy has a key, the intercept has none"];
const WRONG = ["closed", "wrong key", "the copy and the intercept have different keys"];

describe("keys", () => {
  const admitted = (authenticated: boolean) => [
    ["welcome", WELCOME, authenticated],
    ["admit", [...INSTANCE], authenticated, PROTOCOL_VERSION],
  ];
  const table: [string, Keys, unknown[]][] = [
    ["none on both sides", {}, admitted(false)],
    ["the same on both sides", { copy: key, intercept: key }, admitted(true)],
    ["at the intercept only", { intercept: key }, [COPY_WITHOUT, COPY_WITHOUT]],
    ["at the copy only", { copy: key }, [INTERCEPT_WITHOUT, INTERCEPT_WITHOUT]],
    ["different ones", { copy: makeKey(), intercept: key }, [WRONG, WRONG]],
    ["one that begins like the other", { copy: key.subarray(0, 31), intercept: key }, [WRONG, WRONG]],
  ];
  for (const [name, keys, expected] of table) {
    test(name, () => {
      const both = makeEnds(keys);
      settle(both.client, both.peer, 1000);
      expect(ends(both)).toEqual(expected as [unknown, unknown]);
      const isOpen = (expected[0] as unknown[])[0] === "welcome";
      expect([both.client.state, both.peer.state]).toEqual(isOpen ? ["open", "open"] : ["closed", "closed"]);
    });
  }
});

test("a copy that is not admitted is told why", () => {
  const both = makeEnds({}, {}, "it serves 256 copies already");
  settle(both.client, both.peer, 0);
  const full = ["closed", "full", "it serves 256 copies already"];
  expect(ends(both)).toEqual([full, full]);
});

describe("versions", () => {
  const nonce = makeKey();
  for (const version of [0, PROTOCOL_VERSION + 1, 65535]) {
    const text = (copy: number, intercept: number) =>
      `the copy speaks version ${copy} of the protocol, the intercept version ${intercept}; install the same xcopy on both`;

    test(`a copy of version ${version}`, () => {
      const { client, clientEvents, peer, peerEvents } = makeEnds();
      const hello = makeHello("copy", HAS_KEY, INSTANCE, nonce, version);
      peer.feed(hello, 0, hello.length, 0);
      expect(peerEvents).toEqual([["closed", "version", text(version, PROTOCOL_VERSION)]]);
      // A copy of today reads the refusal; the one of another version will have to.
      carry(peer, client, 0);
      expect(clientEvents).toEqual([["closed", "version", text(version, PROTOCOL_VERSION)]]);
    });

    test(`an intercept of version ${version}`, () => {
      const { client, clientEvents } = makeEnds();
      const hello = makeHello("intercept", 0, NO_INSTANCE, nonce, version);
      client.feed(hello, 0, hello.length, 0);
      expect(clientEvents).toEqual([["closed", "version", text(PROTOCOL_VERSION, version)]]);
    });
  }

  test("a hello that a later version has made longer is read, and proved as a whole", () => {
    const { peer, peerEvents } = makeEnds({ intercept: key });
    const short = makeHello("copy", HAS_KEY | 0x80, INSTANCE, nonce);
    const hello = new Uint8Array(short.length + 4);
    hello.set(short);
    hello[3]! += 4;
    peer.feed(hello, 0, hello.length, 0);
    const proof = makeProof(key, "copy", hello, takeAll(peer.outgoing));
    peer.feed(frame(4, proof), 0, 40, 0);
    expect(peerEvents).toEqual([["admit", [...INSTANCE], true, PROTOCOL_VERSION]]);
  });
});

function frame(type: number, body: Uint8Array): Uint8Array {
  return Uint8Array.of(0, 0, body.length >> 8, body.length & 255, type, 0, 0, 0, ...body);
}

describe("an attacker without the key", () => {
  test("repeats what a copy said", () => {
    const { client, peer, server } = makeEnds({ copy: key, intercept: key });
    const hello = takeAll(client.outgoing);
    peer.feed(hello, 0, hello.length, 0);
    carry(peer, client, 0);
    const proof = takeAll(client.outgoing);
    peer.feed(proof, 0, proof.length, 0);
    expect(peer.state).toBe("open");

    const events: Events = [];
    const again = server.accept(ADDRESS, recordPeer(events), 0);
    again.feed(hello, 0, hello.length, 0);
    again.feed(proof, 0, proof.length, 0);
    expect(events).toEqual([WRONG]);
  });

  test("repeats what an intercept said", () => {
    const { client, peer, clientEvents } = makeEnds({ copy: key, intercept: key });
    carry(client, peer, 0);
    const hello = takeAll(peer.outgoing);
    client.feed(hello, 0, hello.length, 0);
    carry(client, peer, 0);
    const rest = takeAll(peer.outgoing);
    client.feed(rest, 0, rest.length, 0);
    expect(client.state).toBe("open");

    clientEvents.length = 0;
    client.begin(0);
    client.feed(hello, 0, hello.length, 0);
    client.feed(rest, 0, rest.length, 0);
    expect(clientEvents).toEqual([WRONG]);
  });

  test("sends a copy its own hello and proof back", () => {
    const { client, clientEvents } = makeEnds({ copy: key });
    const hello = takeAll(client.outgoing);
    client.feed(hello, 0, hello.length, 0);
    expect(clientEvents).toEqual([["closed", "stranger", "what answers there is not an intercept of xcopy"]]);

    clientEvents.length = 0;
    client.begin(0);
    const ours = takeAll(client.outgoing);
    const reflected = Uint8Array.from(ours);
    reflected[4] = 2;
    client.feed(reflected, 0, reflected.length, 0);
    const proof = takeAll(client.outgoing);
    client.feed(proof, 0, proof.length, 0);
    expect(clientEvents).toEqual([WRONG]);
  });

  test("lets an intercept prove itself to itself", () => {
    // With the same nonce on both sides, the hellos differ in no more than the side that they name.
    const nonce = makeKey();
    const { peer, peerEvents } = makeEnds({ intercept: key }, { nonce: () => nonce });
    const hello = makeHello("copy", HAS_KEY, NO_INSTANCE, nonce);
    peer.feed(hello, 0, hello.length, 0);
    const theirs = takeAll(peer.outgoing);
    const proof = frame(4, makeProof(key, "intercept", hello, theirs));
    peer.feed(proof, 0, proof.length, 0);
    expect(peerEvents).toEqual([WRONG]);
  });

  test("answers a copy that has one without any proof", () => {
    for (const features of [0, HAS_KEY]) {
      const { client, clientEvents } = makeEnds({ copy: key });
      const hello = makeHello("intercept", features, NO_INSTANCE, makeKey());
      const welcome = frame(32, new TextEncoder().encode(JSON.stringify(WELCOME)));
      client.feed(hello, 0, hello.length, 0);
      client.feed(welcome, 0, welcome.length, 0);
      expect(clientEvents.map(([event, code]) => [event, code])).toEqual([
        ["closed", features === 0 ? "intercept without key" : "malformed"],
      ]);
    }
  });

  test("registers flows before it has proved anything", () => {
    const { client, peer, peerEvents } = makeEnds({ copy: key, intercept: key });
    carry(client, peer, 0);
    const flows = frame(16, new Uint8Array(36));
    peer.feed(flows, 0, flows.length, 0);
    expect(peerEvents.map(([event, code]) => [event, code])).toEqual([["closed", "malformed"]]);
  });
});

describe("strangers are disconnected without an answer", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const table: [string, Uint8Array, string][] = [
    ["HTTP", bytes("GET / HTTP/1.1\r\nHost: target\r\n\r\n"), "stranger"],
    ["TLS", Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), "stranger"],
    ["SSH", bytes("SSH-2.0-OpenSSH_9.2\r\n"), "stranger"],
    ["zeros", new Uint8Array(4096), "stranger"],
    ["a frame of the right form without a hello in it", frame(1, new Uint8Array(56)), "stranger"],
    ["a hello that is too short", frame(1, bytes("xcopy\0")), "stranger"],
    ["a hello that claims to be long", Uint8Array.of(0, 4, 0, 0, 1, 0, 0, 0), "stranger"],
    ["tcpcopy 1.x", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0), "other protocol"],
  ];
  for (const [name, sent, code] of table) {
    test(name, () => {
      const { peer, peerEvents, server } = makeEnds({ intercept: key });
      peer.feed(sent, 0, sent.length, 0);
      expect(peerEvents.map(([event, code]) => [event, code])).toEqual([["closed", code]]);
      expect(takeAll(peer.outgoing)).toEqual(new Uint8Array(0));
      expect(server.closed).toMatchObject({ [code]: 1 });
      // What comes after that is nobody's.
      peer.feed(sent, 0, sent.length, 0);
      peer.disconnected("");
      expect(peerEvents).toHaveLength(1);
    });
  }

  test("connecting and closing", () => {
    const { peer, peerEvents, server } = makeEnds();
    peer.disconnected("");
    expect(peerEvents).toEqual([["closed", "ended", "the copy ended the connection"]]);
    expect(server.closed.ended).toBe(1);
  });

  test("an intercept that is a web server", () => {
    const { client, clientEvents } = makeEnds();
    const answer = bytes("HTTP/1.1 400 Bad Request\r\n\r\n");
    client.feed(answer, 0, answer.length, 0);
    expect(clientEvents).toEqual([["closed", "stranger", "what answers there is not an intercept of xcopy"]]);
  });
});

describe("deadlines", () => {
  test("both sides give a handshake 3 s, and `wait` says until when", () => {
    const { client, clientEvents, peer, peerEvents } = makeEnds();
    expect([client.wait(1_000_000, 500_000), peer.wait(1_000_000, 500_000)]).toEqual([500_000, 500_000]);
    expect([client.wait(2_900_000, 500_000), peer.wait(2_900_000, 500_000)]).toEqual([100_000, 100_000]);
    for (const end of [client, peer]) {
      end.advance(2_999_999);
      expect(end.state).toBe("handshake");
      end.advance(3_000_000);
    }
    const late = [["closed", "late", "the handshake took longer than 3 s"]];
    expect([clientEvents, peerEvents]).toEqual([late, late]);
  });

  test("a hello does not make the deadline later", () => {
    const { client, peer } = makeEnds({ copy: key, intercept: key });
    client.outgoing.fill();
    peer.feed(client.outgoing.bytes, client.outgoing.from, client.outgoing.to, 2_000_000);
    peer.advance(3_000_000);
    expect(peer.state).toBe("closed");
  });

  test("an open channel has none", () => {
    const { client, peer } = makeEnds({ copy: key, intercept: key });
    settle(client, peer, 0);
    client.advance(1e9);
    peer.advance(1e9);
    expect([client.state, peer.state]).toEqual(["open", "open"]);
  });
});

test("a copy can begin again after any end", () => {
  const { client, clientEvents, server, peer } = makeEnds({ copy: key, intercept: key });
  settle(client, peer, 0);
  client.register(new Uint8Array(36), 0);
  client.disconnected("");
  expect(clientEvents.at(-1)).toEqual(["closed", "ended", "the intercept ended the connection"]);
  const events: Events = [];
  const again = server.accept(ADDRESS, recordPeer(events), 0);
  client.begin(0);
  settle(client, again, 0);
  // The flow that was on its way is not: who begins again registers again.
  expect(events).toEqual([["admit", [...INSTANCE], true, PROTOCOL_VERSION]]);
  expect(client.state).toBe("open");
});

test("the text for an end before the hello hints at --compat", () => {
  const events: Events = [];
  const client = new ChannelClient({ key: null, instance: INSTANCE, handlers: recordClient(events) });
  client.begin(0);
  client.disconnected("");
  expect(events[0]![2]).toBe(
    "the intercept ended the connection before it said hello; if it is intercept 1.x, add --compat",
  );
});
