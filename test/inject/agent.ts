/**
 * A process inside a network namespace that does there what a test asks for: netlink, injection, capture, a TCP
 * server. Started by `startAgent`; ends when its parent goes.
 */

import { followLocal } from "../../src/host/follow-local.ts";
import { createInjector } from "../../src/inject/create.ts";
import { resolveEgress } from "../../src/inject/egress.ts";
import type { Injector } from "../../src/inject/injector.ts";
import type { EgressConfig } from "../../src/inject/path.ts";
import { Failure } from "../../src/native/failure.ts";
import { AF_PACKET, address, libc, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_RAW } from "../../src/native/libc.ts";
import { followNotifications } from "../../src/native/netlink/follow.ts";
import type { LocalPrefix } from "../../src/native/netlink/local-prefixes.ts";
import * as netlink from "../../src/native/netlink/netlink.ts";
import { type Notification, Notifications, type Topic } from "../../src/native/netlink/notifications.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { until } from "../support/until.ts";
import { tcpOf } from "./packets.ts";

export interface Row {
  packet: Uint8Array;
  segmentSize?: number;
}

const batch = new PacketBatch();
let injector: Injector | null = null;
let tap = -1;
let frames: Uint8Array[] = [];
const buffer = new Uint8Array(new ArrayBuffer(1 << 17));
const bufferAddress = address(buffer);
let received: Uint8Array[] = [];
let followed: Notification[] = [];
let endFollowing = (): void => {};
let polled: Notifications | null = null;
let local: LocalPrefix[] = [];

function counters() {
  const { name, packets, bytes, errors, lastError } = injector!;
  return { name, packets, bytes, errors, lastError };
}

function readTap(): void {
  for (;;) {
    const length = Number(libc.recv(tap, bufferAddress, buffer.length, MSG_DONTWAIT));
    if (length <= 0) return;
    frames.push(buffer.slice(0, length));
  }
}

const calls = {
  links: netlink.links,
  localAddresses: netlink.localAddresses,
  route: netlink.route,
  neighbour: netlink.neighbour,
  useNeighbour: netlink.useNeighbour,
  /** Follows these topics by the event loop, and by a socket of its own that is read when asked. */
  async follow(topics: Topic[], room?: number) {
    endFollowing();
    polled?.close();
    followed = [];
    polled = new Notifications(topics, room);
    endFollowing = await followNotifications(topics, (all) => void followed.push(...all), room);
  },
  followed: () => followed.splice(0),
  polled() {
    const all: Notification[] = [];
    polled!.drain((notification) => all.push(notification));
    return all;
  },
  followLocal: async () => void (await followLocal((all) => (local = all))),
  /** What `followLocal` was told last. */
  local: () => local,
  /** Stops reading meanwhile. */
  block: (ms: number) => Bun.sleepSync(ms),
  resolveEgress,
  create(egress: EgressConfig, mark: number) {
    injector?.close();
    injector = createInjector(egress, batch, mark);
  },
  /** Sends the rows in one batch and returns the injector's counters since its start. */
  send(rows: Row[]) {
    batch.clear();
    for (const row of rows) {
      batch.bytes.set(row.packet, batch.next);
      batch.push(row.packet.length, row.segmentSize ?? 0);
    }
    injector!.send(batch);
    return counters();
  },
  refresh() {
    injector!.refresh();
  },
  /** Records every frame that crosses the interface from now on. */
  capture(name: string) {
    if (tap >= 0) libc.close(tap);
    frames = [];
    const everything = 0x0300;
    tap = Number(libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, everything));
    const link = new Uint8Array(20);
    const view = new DataView(link.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, everything, true);
    view.setInt32(4, netlink.links().find((one) => one.name === name)!.ifindex, true);
    if (libc.bind(tap, link, link.length) !== 0) throw new Error(`Cannot capture on "${name}"`);
  },
  /** Waits for `count` captured TCP frames with this destination port and returns all there are. */
  async frames(port: number, count: number) {
    return until(`${count} frames to port ${port}`, () => {
      readTap();
      const matching = frames.filter((frame) => tcpOf(frame)?.destinationPort === port);
      return matching.length >= count ? matching : null;
    });
  },
  listen(hostname: string, port: number) {
    received = [];
    Bun.listen({
      hostname,
      port,
      socket: { data: (_, bytes) => void received.push(Uint8Array.from(bytes)) },
    });
  },
  /** Waits until the server has received `count` bytes and returns all there are. */
  async received(count: number) {
    const total = () => received.reduce((sum, bytes) => sum + bytes.length, 0);
    await until(`${count} bytes received`, () => total() >= count);
    return Uint8Array.from(Buffer.concat(received));
  },
};

export type Calls = typeof calls;
export interface Question {
  id: number;
  call: keyof Calls;
  args: unknown[];
}
export type Answer = { id: number } & (
  | { value: unknown }
  | { error: { message: string; code?: number; fix?: string; exitCode?: number } }
);

process.on("message", async ({ id, call, args }: Question) => {
  const reply = (answer: Answer) => process.send!(answer);
  try {
    const run = calls[call] as (...args: unknown[]) => unknown;
    reply({ id, value: await run(...args) });
  } catch (error) {
    const { message } = error as Error;
    if (error instanceof Failure) {
      reply({ id, error: { message, fix: error.fix, exitCode: error.exitCode } });
    } else if (error instanceof netlink.NetlinkError) {
      reply({ id, error: { message, code: error.code } });
    } else {
      reply({ id, error: { message } });
    }
  }
});
process.on("disconnect", () => process.exit(0));
