/** Where responses come from: the rings of the kernel programs, or a netfilter queue. */
import { Control } from "../../capture/control.ts";
import { RingSet } from "../../capture/ring-set.ts";
import type { Packet } from "../../wire/packet.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import { QueueSource } from "./nfqueue.ts";

export interface Source {
  /** Readable when there is something to do. */
  readonly descriptors: readonly number[];
  /** Hands up to `limit` responses to `sink`, which returns true to drop one (netfilter queue only). Returns how many. */
  drain(sink: (packet: Packet) => boolean, limit: number, now: number): number;
  /** Tells the kernel programs that we are alive; `ms`: the monotonic clock. */
  heartbeat(ms: number): void;
  /** Whether the next response has to make a descriptor readable; false: it need not. */
  wakes(on: boolean): void;
  /** Whether responses are to come with their payload, those of all copies. In mode target the kernel knows whose do. */
  setRead(isRead: boolean): void;
  /** From now on the kernel looks for flows that were registered (mode target). */
  setRegisters(): void;
  /** Whether no response waits; after `wakes(true)` the loop may sleep only then. */
  isEmpty(): boolean;
}

function ringSource({ rings, ringBytes, controlMap }: InterceptPlaneConfig): Source {
  const set = new RingSet(rings, ringBytes);
  const control = new Control(controlMap);
  return {
    descriptors: rings,
    drain: (sink, limit, now) => set.drain(sink, limit, now),
    heartbeat: (ms) => control.heartbeat(ms),
    wakes: (on) => control.setWaiting(on),
    setRead: (isRead) => control.setRead(isRead),
    setRegisters: () => control.setRegisters(),
    isEmpty: () => set.isEmpty,
  };
}

function queueSource(fd: number, queue: number, isAboutCopy: (quoted: Packet) => boolean): Source {
  const source = new QueueSource(fd, queue, isAboutCopy);
  return {
    descriptors: [fd],
    drain: (sink, limit) => source.drain(sink, limit),
    heartbeat: () => {},
    wakes: () => {},
    setRead: (isRead) => source.setRead(isRead),
    setRegisters: () => {},
    // Its descriptor is readable while packets wait: epoll sees them.
    isEmpty: () => true,
  };
}

/** `isAboutCopy`: see QueueSource. */
export function openSource(config: InterceptPlaneConfig, isAboutCopy: (quoted: Packet) => boolean): Source {
  const { queue } = config;
  return queue ? queueSource(queue.fd, queue.number, isAboutCopy) : ringSource(config);
}
