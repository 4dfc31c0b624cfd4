/** The connections of copies, over real sockets whose other end is in this thread. */
import { afterEach, expect, test } from "bun:test";
import { ChannelClient } from "../../src/channel/client.ts";
import type { Welcome } from "../../src/channel/messages.ts";
import { PING_SPAN } from "../../src/channel/peer.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import { close, connect, flush, listen, localEndpoint, receive } from "../../src/channel/socket.ts";
import { Connections } from "../../src/intercept/data-plane/connections.ts";
import { Epoll } from "../../src/native/epoll.ts";
import { until } from "../support/until.ts";

const LOCAL = Uint8Array.of(127, 0, 0, 1);
const open: (() => void)[] = [];
afterEach(() => {
  for (const end of open.splice(0)) end();
});

const WELCOME: Welcome = { mode: "target", slot: 0, cookie: "00".repeat(8), services: [], version: "1" };

test("a copy gets signs of life from an intercept from the start on", async () => {
  const [listener] = listen([{ address: LOCAL, port: 0 }]) as [number];
  const epoll = new Epoll();
  const handlers = { admit: () => WELCOME, onRegister() {}, onRanges() {}, onAsk() {}, onClosed() {} };
  const host = { handlersFor: () => handlers, onGone() {} };
  const connections = new Connections(
    epoll,
    [listener],
    new ChannelServer({ key: null, insecure: true }),
    null,
    host,
  );
  const fd = connect({ address: LOCAL, port: localEndpoint(listener).port });
  open.push(
    () => close(listener),
    () => close(fd),
    () => connections.closeAll(0),
  );
  const client = new ChannelClient({
    key: null,
    instance: new Uint8Array(8),
    handlers: { onWelcome() {}, onResponse() {}, onFacts() {}, onClosed() {} },
  });
  const bytes = new Uint8Array(new ArrayBuffer(65536));
  // us: time stands still but for what the intercept waits.
  let now = 0;
  client.begin(now);
  const read = () => {
    const count = receive(fd, bytes, 0, bytes.length);
    if (count > 0) client.feed(bytes, 0, count, now);
  };
  const round = () => {
    flush(fd, client.outgoing);
    const events = epoll.wait(0);
    for (let index = 0; index < events; index++)
      connections.handle(epoll.fdOf(index), epoll.eventsOf(index), now);
    connections.advance(now);
    connections.flush(now);
    read();
  };
  while (client.state !== "open") round();
  for (let sign = 0; sign < 10; sign++) {
    // Two waits: of what was written last the time is taken after it.
    for (let wait = 0; wait < 2; wait++) {
      expect(connections.wait(now)).toBeLessThanOrEqual(PING_SPAN);
      now += connections.wait(now);
      round();
    }
    await until("a sign of life", () => {
      read();
      return client.silentFor(now) <= PING_SPAN;
    });
  }
});
