/** Which copies and intercepts accept each other, and what both are told if they do not. */
import { describe, expect, test } from "bun:test";
import { ChannelClient } from "../../src/channel/client.ts";
import {
  deriveKeys,
  HAS_KEY,
  makeEphemeral,
  makeHello,
  PROTOCOL_VERSION,
  type Side,
} from "../../src/channel/hello.ts";
import { Sealer } from "../../src/channel/seal.ts";
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

/** A hello of version 1, which had no public key. */
function oldHello(side: Side, version: number): Uint8Array {
  const hello = makeHello(side, HAS_KEY, INSTANCE, makeKey(), makeKey(), version).slice(0, 8 + 56);
  hello[3] = 56;
  return hello;
}

/** The last event of each side. */
function ends({ clientEvents, peerEvents }: Ends): [unknown, unknown] {
  return [clientEvents.at(-1), peerEvents.at(-1)];
}

const COPY_WITHOUT = ["closed", "copy without key", "the intercept has a key, the copy has none"];
const INTERCEPT_WITHOUT = ["closed", "intercept without key", "the copy has a key, the intercept has none"];
const WRONG = ["closed", "wrong key", expect.stringContaining("compare the fingerprints that both print")];

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

describe("an intercept without a key", () => {
  const REFUSED = "an intercept without a key takes no registrations (--insecure)";
  const says: [string, (end: ChannelClient) => boolean][] = [
    ["flows", (client) => client.register(new Uint8Array(36), 0)],
    ["flows of UDP", (client) => client.registerDatagrams(new Uint8Array(36), 0)],
    ["address ranges", (client) => client.ranges([{ first: "10.0.0.1", last: "10.0.0.9" }])],
  ];
  for (const [name, say] of says) {
    test(`takes no ${name}, and says so to both sides`, () => {
      const both = makeEnds({});
      settle(both.client, both.peer, 0);
      expect(say(both.client)).toBe(true);
      settle(both.client, both.peer, 0);
      expect(ends(both)).toEqual([
        ["closed", "registration", REFUSED],
        ["closed", "registration", REFUSED],
      ]);
      expect(both.peerEvents).toHaveLength(2);
      expect(both.server.closed.registration).toBe(1);
    });
  }

  test("serves no copy if it is for tcpcopy alone", () => {
    const both = makeEnds({}, { insecure: false });
    settle(both.client, both.peer, 0);
    const text = "this intercept has no key, and serves tcpcopy 1.x only (--compat)";
    expect(ends(both)).toEqual([
      ["closed", "other protocol", text],
      ["closed", "other protocol", text],
    ]);
  });
});

test("a copy that is not admitted is told why", () => {
  const both = makeEnds({}, {}, "it serves 256 copies already");
  settle(both.client, both.peer, 0);
  const full = ["closed", "full", "it serves 256 copies already"];
  expect(ends(both)).toEqual([full, full]);
});

describe("versions", () => {
  for (const version of [0, 1, PROTOCOL_VERSION + 1, 65535]) {
    const hello = (side: Side) =>
      version < PROTOCOL_VERSION
        ? oldHello(side, version)
        : makeHello(side, HAS_KEY, INSTANCE, makeKey(), makeKey(), version);
    const text = (copy: number, intercept: number) =>
      `the copy speaks version ${copy} of the protocol, the intercept version ${intercept}: update xcopy on the host of the ${copy < intercept ? "copy" : "intercept"}`;

    for (const keys of [{}, { copy: key, intercept: key }]) {
      test(`a copy of version ${version}, ${keys.copy ? "a" : "no"} key`, () => {
        const { client, clientEvents, peer, peerEvents } = makeEnds(keys);
        peer.feed(hello("copy"), 0, hello("copy").length, 0);
        expect(peerEvents).toEqual([["closed", "version", text(version, PROTOCOL_VERSION)]]);
        // A copy of today reads the refusal; those of other versions do too.
        carry(peer, client, 0);
        expect(clientEvents).toEqual([["closed", "version", text(version, PROTOCOL_VERSION)]]);
      });

      test(`an intercept of version ${version}, ${keys.copy ? "a" : "no"} key`, () => {
        const { client, clientEvents } = makeEnds(keys);
        client.feed(hello("intercept"), 0, hello("intercept").length, 0);
        expect(clientEvents).toEqual([["closed", "version", text(PROTOCOL_VERSION, version)]]);
      });
    }
  }

  test("the refusal by an intercept of version 1, which reads the hello of today", () => {
    const { client, clientEvents } = makeEnds();
    const text =
      "the copy speaks version 2 of the protocol, the intercept version 1; install the same xcopy on both";
    const body = new TextEncoder().encode(text);
    const refusal = frame(3, Uint8Array.of(0, 0, ...body));
    client.feed(refusal, 0, refusal.length, 0);
    expect(clientEvents).toEqual([["closed", "version", text]]);
  });

  test("a hello that a later version has made longer is read, and proved as a whole", () => {
    for (const isProved of [true, false]) {
      const { peer, peerEvents } = makeEnds({ intercept: key });
      const ephemeral = makeEphemeral();
      const short = makeHello("copy", HAS_KEY | 0x80, INSTANCE, makeKey(), ephemeral.publicKey);
      const hello = new Uint8Array(short.length + 4);
      hello.set(short);
      hello[3]! += 4;
      peer.feed(hello, 0, hello.length, 0);
      const theirs = takeAll(peer.outgoing);
      const publicKey = theirs.subarray(-32);
      const keys = deriveKeys(key, ephemeral, publicKey, isProved ? hello : short, theirs)!;
      const proof = record(keys.copy, frame(4, new Uint8Array(0)));
      peer.feed(proof, 0, proof.length, 0);
      expect(peerEvents).toEqual([isProved ? ["admit", [...INSTANCE], true, PROTOCOL_VERSION] : WRONG]);
    }
  });
});

/** The first record under a key. */
function record(under: Uint8Array, frames: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(8 + frames.length + 16));
  bytes.set(frames, 8);
  new Sealer(under).seal(bytes, new DataView(bytes.buffer), 0, 8 + frames.length);
  return bytes;
}

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

  test("sends a copy its own hello and record back", () => {
    for (const keys of [{ copy: key }, {}]) {
      const { client, clientEvents } = makeEnds(keys);
      const hello = takeAll(client.outgoing);
      client.feed(hello, 0, hello.length, 0);
      expect(clientEvents).toEqual([
        ["closed", "stranger", "what answers there is not an intercept of xcopy"],
      ]);

      clientEvents.length = 0;
      client.begin(0);
      const reflected = takeAll(client.outgoing);
      reflected[4] = 2;
      client.feed(reflected, 0, reflected.length, 0);
      const proof = takeAll(client.outgoing);
      client.feed(proof, 0, proof.length, 0);
      expect(clientEvents.map(([event, code]) => [event, code])).toEqual([
        ["closed", keys.copy ? "wrong key" : "tampered"],
      ]);
    }
  });

  test("sends an intercept its own record back", () => {
    const { client, peer, peerEvents } = makeEnds({ copy: key, intercept: key });
    carry(client, peer, 0);
    carry(peer, client, 0);
    carry(client, peer, 0);
    const welcome = takeAll(peer.outgoing);
    peer.feed(welcome, 0, welcome.length, 0);
    expect(peerEvents.at(-1)!.slice(0, 2)).toEqual(["closed", "tampered"]);
  });

  test("has a public key with which every secret is the same", () => {
    const one = new Uint8Array(32);
    one[0] = 1;
    for (const publicKey of [new Uint8Array(32), one]) {
      for (const shared of [key, null]) {
        const features = shared ? HAS_KEY : 0;
        const { client, clientEvents, peer, peerEvents } = makeEnds({ copy: shared, intercept: shared });
        const toPeer = makeHello("copy", features, INSTANCE, makeKey(), publicKey);
        peer.feed(toPeer, 0, toPeer.length, 0);
        const toClient = makeHello("intercept", features, NO_INSTANCE, makeKey(), publicKey);
        client.feed(toClient, 0, toClient.length, 0);
        for (const events of [clientEvents, peerEvents])
          expect(events.map(([event, code]) => [event, code])).toEqual([["closed", "malformed"]]);
      }
    }
  });

  test("responses a copy that has one", () => {
    const json = new TextEncoder().encode(JSON.stringify(WELCOME));
    for (const features of [0, HAS_KEY]) {
      for (const isSealed of [true, false]) {
        const { client, clientEvents } = makeEnds({ copy: key });
        const ephemeral = makeEphemeral();
        const theirs = takeAll(client.outgoing);
        const hello = makeHello("intercept", features, NO_INSTANCE, makeKey(), ephemeral.publicKey);
        const keys = deriveKeys(makeKey(), ephemeral, theirs.subarray(-32), theirs, hello)!;
        const welcome = isSealed ? record(keys.intercept, frame(32, json)) : frame(32, json);
        client.feed(hello, 0, hello.length, 0);
        client.feed(welcome, 0, welcome.length, 0);
        const code = features === 0 ? "intercept without key" : isSealed ? "wrong key" : "malformed";
        expect(clientEvents.map(([event, code]) => [event, code])).toEqual([["closed", code]]);
      }
    }
  });

  test("turns both hellos into those of sides without a key", () => {
    const { client, clientEvents, peer, peerEvents } = makeEnds({ copy: key, intercept: key });
    const hello = takeAll(client.outgoing);
    hello[8 + 11]! &= ~HAS_KEY;
    peer.feed(hello, 0, hello.length, 0);
    expect(peerEvents).toEqual([COPY_WITHOUT]);
    const theirs = makeHello("intercept", 0, NO_INSTANCE, makeKey(), makeEphemeral().publicKey);
    client.feed(theirs, 0, theirs.length, 0);
    expect(clientEvents).toEqual([INTERCEPT_WITHOUT]);
  });

  test("registers flows before it has proved anything", () => {
    const { client, peer, peerEvents } = makeEnds({ copy: key, intercept: key });
    carry(client, peer, 0);
    const flows = frame(16, new Uint8Array(52));
    peer.feed(flows, 0, flows.length, 0);
    expect(peerEvents.map(([event, code]) => [event, code])).toEqual([["closed", "malformed"]]);
  });
});

describe("strangers are disconnected without a response", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const table: [string, Uint8Array, string][] = [
    ["HTTP", bytes("GET / HTTP/1.1\r\nHost: target\r\n\r\n"), "stranger"],
    ["TLS", Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), "stranger"],
    ["SSH", bytes("SSH-2.0-OpenSSH_9.2\r\n"), "stranger"],
    ["zeros", new Uint8Array(4096), "stranger"],
    ["a frame of the right form without a hello in it", frame(1, new Uint8Array(88)), "stranger"],
    ["a hello of today without a public key", oldHello("copy", PROTOCOL_VERSION), "stranger"],
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
  client.register(new Uint8Array(52), 0);
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
