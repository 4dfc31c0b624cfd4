/** Channels over real sockets on loopback. */
import { afterEach, describe, expect, test } from "bun:test";
import { ChannelClient } from "../../src/channel/client.ts";
import type { Client, Peer } from "../../src/channel/contract.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import {
  accept,
  close,
  connect,
  connectResult,
  type Endpoint,
  flush,
  isLater,
  listen,
  localEndpoint,
  receive,
  send,
} from "../../src/channel/socket.ts";
import { setOption } from "../../src/inject/socket.ts";
import { EAGAIN, SO_SNDBUF, SOL_SOCKET } from "../../src/native/libc.ts";
import { failing } from "../config/failing.ts";
import { until } from "../support/until.ts";
import { type Events, INSTANCE, makeKey, recordClient, recordPeer } from "./ends.ts";
import { makePacket, makeRow, seen } from "./packets.ts";
import { fc } from "./seed.ts";

const IPV4 = Uint8Array.of(127, 0, 0, 1);
const IPV6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

const open = new Set<number>();
/** Remembers a descriptor, for the end of the test. */
function keep(fd: number): number {
  expect(fd).toBeGreaterThan(0);
  open.add(fd);
  return fd;
}
afterEach(() => {
  for (const fd of open) close(fd);
  open.clear();
});

/** Both descriptors of a new connection, and where the client's is bound. */
async function makeConnection(address: Uint8Array): Promise<{ near: number; far: number; from: Endpoint }> {
  const listener = keep(listen([{ address, port: 0 }])[0]!);
  expect(accept(listener)).toBe(-EAGAIN);
  const near = keep(connect(localEndpoint(listener)));
  const accepted = await until("a connection", () => {
    const result = accept(listener);
    return typeof result === "number" ? null : result;
  });
  expect(connectResult(near)).toBe(0);
  expect({ address: accepted.address, port: accepted.port }).toEqual(localEndpoint(near));
  return { near, far: keep(accepted.fd), from: accepted };
}

describe.each([
  ["IPv4", IPV4],
  ["IPv6", IPV6],
])("%s", (_, address) => {
  test("bytes, the end of the stream, and a peer that is gone", async () => {
    const { near, far } = await makeConnection(address);
    const bytes = new Uint8Array(new ArrayBuffer(16));
    expect(isLater(receive(near, bytes, 0, 16))).toBe(true);
    bytes.set([1, 2, 3, 4]);
    expect(send(near, bytes, 1, 4)).toBe(3);
    expect(await until("the bytes", () => receive(far, bytes, 8, 16) === 3)).toBe(true);
    expect([...bytes.subarray(8, 11)]).toEqual([2, 3, 4]);
    close(near);
    open.delete(near);
    expect(await until("the end", () => receive(far, bytes, 0, 16) === 0)).toBe(true);
    // The first write is answered with a reset, the next one fails; without a signal.
    await until("a reset", () => send(far, bytes, 0, 16) < 0);
  });

  test("nobody listens", async () => {
    const listener = listen([{ address, port: 0 }])[0]!;
    const endpoint = localEndpoint(listener);
    close(listener);
    const fd = connect(endpoint);
    // Linux may say so at once.
    if (fd < 0) expect(fd).toBe(-111);
    else expect(await until("the refusal", () => connectResult(keep(fd)))).toBe(-111);
  });
});

test("several addresses, and errors for wrong ones", () => {
  const [one, other] = listen([
    { address: IPV4, port: 0 },
    { address: IPV6, port: 0 },
  ]).map(keep);
  const taken = localEndpoint(one!);
  expect(localEndpoint(other!).address).toEqual(IPV6);
  expect(failing(() => listen([{ address: IPV6, port: 0 }, taken]))).toEqual({
    message: `Cannot listen on "127.0.0.1:${taken.port}": address already in use`,
    fix: `Something listens there already (ss -ltnp 'sport = :${taken.port}'): stop it, or choose another port.`,
    exitCode: 1,
  });
  expect(failing(() => listen([{ address: Uint8Array.of(192, 0, 2, 1), port: 0 }])).message).toBe(
    'Cannot listen on "192.0.2.1:0": cannot assign requested address',
  );
});

/** Whatever is there, in a piece of at most `most` bytes; whether there was anything. */
function read(fd: number, end: Client | Peer, memory: Uint8Array, most: number): boolean {
  const count = receive(fd, memory, 0, Math.min(most, memory.length));
  if (count > 0) end.feed(memory, 0, count, 0);
  return count > 0;
}

test("a long stream of responses arrives unharmed through reads and writes of any size", async () => {
  const { near, far, from } = await makeConnection(IPV4);
  const key = makeKey();
  const clientEvents: Events = [];
  const peerEvents: Events = [];
  const client = new ChannelClient({ key, instance: INSTANCE, handlers: recordClient(clientEvents) });
  // More than all that is sent below: nothing is discarded.
  const server = new ChannelServer({ key, outgoingBytes: 16 << 20 });
  client.begin(0);
  const peer = server.accept(from.address, recordPeer(peerEvents), 0);
  const clientMemory = new Uint8Array(new ArrayBuffer(1 << 18));
  const peerMemory = new Uint8Array(new ArrayBuffer(1 << 16));
  await until("the handshake", () => {
    flush(near, client.outgoing);
    read(far, peer, peerMemory, 1 << 16);
    flush(far, peer.outgoing);
    read(near, client, clientMemory, 1 << 18);
    return client.state === "open";
  });
  clientEvents.length = 0;
  peerEvents.length = 0;
  // Else the kernel may take it all before anything is read.
  setOption(far, SOL_SOCKET, SO_SNDBUF, 65536);

  // Sizes that repeat for one seed.
  const sizes = fc.sample(
    fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 200_000 })),
    500,
  );
  let turn = 0;
  const size = () => sizes[turn++ % sizes.length]!;
  const total = 60_000;
  const options = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
  const packets = [makePacket({ options, length: 1448 }), makePacket({ family: 6, options }), makePacket({})];
  let sent = 0;
  let isBlocked = false;
  await until(
    () => `${total} responses: ${clientEvents.length} came`,
    () => {
      for (let round = 0; round < 2000; round++) {
        for (let i = size() % 100; i > 0 && sent < total; i--, sent++) {
          const packet = packets[sent % 3]!;
          packet.view.setUint32(packet.tcp + 4, sent);
          expect(peer.response(packet)).toBe(true);
        }
        if (round % 2 === 0) isBlocked ||= isLater(flush(far, peer.outgoing));
        else if (peer.outgoing.fill() > 0) {
          const { bytes, from, to } = peer.outgoing;
          const count = send(far, bytes, from, Math.min(to, from + size()));
          if (count > 0) peer.outgoing.take(count);
        }
        // The copy pauses until the buffers of the kernel are full, once.
        if (isBlocked || sent === total) read(near, client, clientMemory, size());
        if (round % 3 === 0 && clientEvents.length < 3000) client.register(makeRow(round), 0);
        flush(near, client.outgoing);
        read(far, peer, peerMemory, size());
      }
      return clientEvents.length >= total;
    },
  );
  expect(peer.outgoing.discarded).toBe(0);
  for (const [index, event] of clientEvents.entries()) {
    const packet = packets[index % 3]!;
    packet.view.setUint32(packet.tcp + 4, index);
    if (!Bun.deepEquals(event[1], seen(packet))) expect(event[1]).toEqual(seen(packet));
  }
  expect(clientEvents).toHaveLength(total);
  // The kernel did take less than it was given.
  expect(isBlocked).toBe(true);
  expect(peerEvents.length).toBeGreaterThan(0);
  expect(peerEvents.every(([event]) => event === "register")).toBe(true);
});
