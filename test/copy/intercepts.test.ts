/** How the data plane treats an intercept, over a real connection whose other end is in this thread and runs only in `round`. */

import { afterEach, expect, test } from "bun:test";
import type { Peer } from "../../src/channel/contract.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import {
  accept,
  close,
  flush,
  isLater,
  listen,
  localEndpoint,
  receive,
  send,
} from "../../src/channel/socket.ts";
import { Intercepts } from "../../src/copy/data-plane/intercepts.ts";
import type { Engine } from "../../src/engine/engine.ts";
import type { PathConfig } from "../../src/inject/path.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import { WHOLE } from "../../src/wire/prefix.ts";

const KEY = new Uint8Array(32).fill(7);
const LOCAL = Uint8Array.of(127, 0, 0, 1);
const open: (() => void)[] = [];
afterEach(() => {
  for (const end of open.splice(0)) end();
});

/** An intercept on the target, in this thread: it reads and answers when `serve` is called. */
function startServer(key: Uint8Array | null) {
  const [listener] = listen([{ address: LOCAL, port: 0 }]) as [number];
  open.push(() => close(listener));
  const server = new ChannelServer({ key, insecure: key === null });
  const bytes = new Uint8Array(new ArrayBuffer(65536));
  let fd = -1;
  let peer: Peer;
  const told = { flows: 0, syncs: 0 };
  const serve = (): void => {
    const now = monotonicMicroseconds();
    if (fd < 0) {
      const socket = accept(listener);
      if (typeof socket === "number") return;
      ({ fd } = socket);
      open.push(() => close(fd));
      peer = server.accept(
        LOCAL,
        {
          admit: () => ({
            mode: "target",
            slot: 0,
            cookie: "00".repeat(8),
            services: [{ address: null, port: 8080 }],
            version: "1",
          }),
          onRegister: (_flows, _at, count) => {
            told.flows += count;
          },
          onRanges: () => {},
          onAsk: ({ id }) => {
            told.syncs++;
            peer.facts({ id });
          },
          onClosed: () => {},
        },
        now,
      );
    }
    const count = receive(fd, bytes, 0, bytes.length);
    if (count > 0) peer.feed(bytes, 0, count, now);
    else if (!isLater(count)) throw new Error("the copy has closed");
    peer.advance(now);
    flush(fd, peer.outgoing);
  };
  const hangUp = (): void => {
    close(fd);
    fd = -1;
  };
  /** Somebody on the way adds bytes of his own. */
  const tamper = (): void => {
    send(fd, new Uint8Array(64).fill(1), 0, 64);
  };
  return { hangUp, tamper, port: localEndpoint(listener).port, told, serve };
}

/** A copy's side with one path, and what its engine is told. */
function setUp(key: Uint8Array | null = KEY) {
  const server = startServer(key);
  const said: string[] = [];
  /** What is said of the intercept: whether it is there. */
  const heard: boolean[] = [];
  const notes: string[] = [];
  const engine = {
    hold: () => said.push("hold"),
    resume: () => said.push("resume"),
    setCookie: () => {},
    forEachFlow: () => said.push("flows"),
    endConnections: () => said.push("end"),
  };
  const path = { family: 4, local: null, target: Uint8Array.of(10, 0, 0, 2), targetPort: 8080, egress: 0 };
  const config = {
    intercepts: [{ label: "here", address: LOCAL, port: server.port }],
    connections: 1,
    key,
    compat: false,
    readsPayload: false,
    prefix: WHOLE,
    probeFrom: [LOCAL],
  };
  const intercepts = new Intercepts(
    config,
    [path as PathConfig],
    engine as unknown as Engine,
    new Uint8Array(8),
    false,
    ({ up }) => heard.push(up),
    (text) => notes.push(text),
    monotonicMicroseconds(),
  );
  open.push(() => intercepts.close("over"));
  const round = () => {
    intercepts.run(() => {}, monotonicMicroseconds());
    intercepts.flush();
  };
  /** Rounds of both sides until it is so. */
  const until = (condition: () => boolean) => {
    while (!condition()) {
      round();
      server.serve();
    }
  };
  return { ...server, intercepts, said, heard, notes, round, until };
}

test("a path is held until its intercept has read the registrations of its flows; then what was not sent is sent", () => {
  const { intercepts, said, told, round, until } = setUp();
  until(() => intercepts.isOpen(0));
  intercepts.registerAll();
  intercepts.openFlow(0, 40_000, Int32Array.of(0, 0, 0, 0x0a010002), 0, 1000);
  // The other side is this thread: it cannot read meanwhile.
  expect(intercepts.settle(() => {})).toBe(false);
  expect([told.flows, intercepts.isOpen(0), said]).toEqual([0, false, ["hold", "resume", "hold"]]);
  round();
  expect(intercepts.isOpen(0)).toBe(false);
  until(() => intercepts.isOpen(0));
  expect([told.flows, told.syncs, said.at(-1)]).toEqual([1, 1, "resume"]);
  // It has read of all of them: nothing is left to wait for.
  expect(intercepts.settle(() => {})).toBe(true);
  expect(told.syncs).toBe(1);
});

test("the paths of an intercept that is silent for a moment are held; it counts as lost only when that is reported", () => {
  const { intercepts, heard, round, until } = setUp();
  until(() => intercepts.isOpen(0));
  while (intercepts.isOpen(0)) round();
  expect([heard, intercepts.losses]).toEqual([[true], 0]);
  until(() => intercepts.isOpen(0));
  while (heard.length === 1) round();
  expect([heard, intercepts.losses]).toEqual([[true, false], 1]);
});

test.each([true, false])(
  "an intercept that comes back is told all flows again; without a key they are opened anew: key %p",
  (hasKey) => {
    const { hangUp, intercepts, said, until } = setUp(hasKey ? KEY : null);
    until(() => intercepts.isOpen(0));
    expect(said).toEqual(["hold", "resume"]);
    hangUp();
    until(() => said.includes("end") || said.includes("flows"));
    until(() => intercepts.isOpen(0));
    expect(said.filter((what) => what === "end" || what === "flows")).toEqual([hasKey ? "flows" : "end"]);
  },
);

test("a channel into which somebody writes is made anew, counted each time, and said once a minute", () => {
  const { hangUp, intercepts, notes, round, tamper, until } = setUp();
  for (let times = 1; times <= 2; times++) {
    until(() => intercepts.isOpen(0));
    tamper();
    while (intercepts.broken < times) round();
    hangUp();
  }
  expect(notes).toEqual([
    expect.stringMatching(/^intercept here: the channel broke: somebody on the way changes/),
  ]);
});
