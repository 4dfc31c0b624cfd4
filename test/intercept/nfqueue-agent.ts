/**
 * Reads a netfilter queue in a namespace, with its rule; run as `bun nfqueue-agent.ts OPTIONS` (JSON: AgentOptions). Prints
 * "ready TOOL", its account as a line of JSON whenever packets have come and no more wait, and a last one after SIGTERM.
 */
import { parseAddress } from "../../src/config/address.ts";
import { QueueSource } from "../../src/intercept/data-plane/nfqueue.ts";
import { Failure } from "../../src/native/failure.ts";
import { address, EPOLL_CTL_ADD, EPOLLIN, libc } from "../../src/native/libc.ts";
import { openQueue, type QueueOptions } from "../../src/native/nfqueue.ts";
import { readStatistics } from "../../src/native/nfqueue-status.ts";
import { makeRule } from "../../src/netfilter/rule.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { ACK, SYN } from "../../src/wire/tcp.ts";

export interface AgentOptions extends QueueOptions {
  queue: number;
  /** Whether packets come with their payload, until SIGUSR1. */
  isRead?: boolean;
  services: { address: string | null; ports: [number, number] }[];
  pass?: string[];
  /** Clients whose responses are caught; every response if absent. */
  clients?: string[];
}

export interface AgentAccount {
  packets: number;
  caught: number;
  unreadable: number;
  overruns: number;
  refused: number;
  synAcks: number;
  /** Bytes of payload on the wire: of all packets and of the largest. */
  bytes: number;
  largest: number;
  /** Most bytes captured of a packet, and packets whose payload was not captured whole. */
  captured: number;
  cut: number;
  /** As the kernel counts. */
  full: number;
  lost: number;
  /** us of CPU that this process has used since it was ready. */
  cpu: number;
}

/** Spins through the event loop in between, for the signal. */
async function serve(options: AgentOptions): Promise<void> {
  const { queue } = options;
  const clients = options.clients?.map((text) => parseAddress(text)!.bytes);
  const fd = openQueue(queue, options);
  const rule = makeRule({
    queue,
    services: options.services.map(({ address: text, ports }) => ({
      address: text === null ? null : parseAddress(text),
      ports,
    })),
    pass: (options.pass ?? []).map((text) => parseAddress(text)!),
  });
  const source = new QueueSource(fd, queue);
  if (options.isRead) source.setRead(true);
  const poll = libc.epoll_create1(0);
  const events = new Uint32Array(new ArrayBuffer(16));
  events[0] = EPOLLIN;
  libc.epoll_ctl(poll, EPOLL_CTL_ADD, fd, address(events));
  let isEnding = false;
  process.on("SIGTERM", () => {
    isEnding = true;
  });
  process.on("SIGUSR1", () => {
    source.setRead(false);
    console.log("headers");
  });
  console.log(`ready ${rule.tool}`);

  let [synAcks, bytes, largest, captured, cut] = [0, 0, 0, 0, 0];
  const sink = (packet: Packet): boolean => {
    if (packet.flags === (SYN | ACK)) synAcks++;
    bytes += packet.length;
    largest = Math.max(largest, packet.length);
    captured = Math.max(captured, packet.end - packet.ip);
    if (packet.end - packet.payload < packet.length) cut++;
    return clients === undefined || clients.some((client) => goesTo(packet, client));
  };
  const started = process.cpuUsage();
  const report = () => {
    const { packets, caught, unreadable, overruns, refused } = source;
    const { full, lost } = readStatistics(queue)!;
    const { user, system } = process.cpuUsage(started);
    const cpu = user + system;
    const counters = { packets, caught, unreadable, overruns, refused };
    console.log(JSON.stringify({ ...counters, synAcks, bytes, largest, captured, cut, full, lost, cpu }));
  };
  let reported = 0;
  while (!isEnding) {
    const isReady = libc.epoll_wait(poll, address(events), 1, 20) > 0;
    if (isReady) source.drain(sink, 1024);
    else if (source.packets !== reported) {
      reported = source.packets;
      report();
    }
    await new Promise(setImmediate);
  }
  rule.remove();
  report();
  libc.close(fd);
}

function goesTo(packet: Packet, client: Uint8Array): boolean {
  const at = packet.ip + (packet.family === 4 ? 16 : 24);
  if ((packet.family === 4 ? 4 : 16) !== client.length) return false;
  return client.every((byte, index) => packet.bytes[at + index] === byte);
}

if (import.meta.main) {
  try {
    await serve(JSON.parse(process.argv[2]!));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.error(`${error.message}\n${error.fix}`);
    process.exitCode = error.exitCode;
  }
}
