/**
 * Replay of UDP datagrams: each flow of a client has a flow of ours, on which its datagrams are sent at once and in order. The
 * answers are counted and timed. It uses no clock, socket or log: time comes with every call (us, one monotonic clock),
 * packets go into the batches it was given.
 */
import { copiesOf, routeOf } from "../engine/sessions/weights.ts";
import { DESTINATION, readAddress } from "../wire/address-words.ts";
import type { PacketBatch } from "../wire/batch.ts";
import { type Words, wordsOf } from "../wire/checksum.ts";
import { setSource } from "../wire/ip.ts";
import type { Packet } from "../wire/packet.ts";
import { DatagramHeader, hasRoomFor, packetsOf, pushDatagram, UDP_HEADER } from "../wire/udp.ts";
import { AwaitingAnswers } from "./awaiting-answers.ts";
import { isToGroup, readFlow, readFlowOfAnswer, readIp } from "./captured.ts";
import type { DatagramConfig, DatagramPath, DatagramService } from "./config.ts";
import { DATAGRAM, type DatagramDropReason } from "./counters.ts";
import type { Query } from "./dns.ts";
import { DnsPairs } from "./dns-pairs.ts";
import { HeldDatagrams } from "./held-datagrams.ts";
import { PathTurns } from "./path-turns.ts";
import { DatagramPorts } from "./ports.ts";
import { isQuic } from "./quic.ts";
import { CLIENT_PORTS, COPY, FlowTable, KEY_WORDS, NONE, PATH, PORT, ROW, SERVICE } from "./table.ts";

/** Most datagrams that wait for an answer at a time. */
const MAX_WAITING = 262_144;
/** us without a datagram before a flow may be evicted for another one. */
const LEAST_IDLE = 1_000_000;
/** us between two checks whether held datagrams may be sent. */
const HELD_CHECK = 10_000;
/** Random ports that are tried before an address counts as having no free port. */
const PORT_TRIES = 256;

export class DatagramReplay {
  private readonly table: FlowTable;
  private readonly awaiting: AwaitingAnswers;
  private readonly ports: DatagramPorts;
  /** By egress, of its batch. */
  private readonly words: Words[] = [];
  private readonly key = new Int32Array(KEY_WORDS);
  private readonly address = new Int32Array(4);
  private readonly header = new DatagramHeader();
  private readonly turns: PathTurns;
  /** By service: the copies of each flow; see Context. */
  private readonly copies: number[][];
  private readonly held = new HeldDatagrams();
  private readonly dns: DnsPairs | null;
  private readonly isServiceHeldNow = (service: number): boolean => this.isServiceHeld(service);
  private readonly takeHeld = (packet: Packet, service: number): void =>
    this.take(packet, service, true, packet.time);
  /** IP identification of the datagram sent last. */
  private id: number;
  /** Incremented by `endClients`; part of the key of a client's flow. */
  private generation = 0;

  /** `batches`: one per egress. */
  constructor(
    private readonly config: DatagramConfig,
    private readonly batches: PacketBatch[],
  ) {
    const { services, paths, maxFlows, random } = config;
    this.table = new FlowTable(
      maxFlows,
      paths.map((path) => path?.fromClient === true),
    );
    this.awaiting = new AwaitingAnswers(this.table, MAX_WAITING);
    this.ports = new DatagramPorts(config.ports, random, config.worker, config.workers);
    this.turns = new PathTurns(services);
    this.copies = services.map((service) => copiesOf(service?.routes ?? [], config.replicas));
    this.id = Math.floor(random() * 2 ** 32);
    this.header.dontFragment = config.noFragment;
    this.dns = config.pairs && new DnsPairs(config.pairs, config.timeout);
  }

  /**
   * Takes a captured packet of a client. `packet.think`: if it holds several datagrams (UDP GSO or GRO), the payload bytes of
   * each; -1 if it is one datagram. `service`: index of the service; `isUnicast`: whether the frame was sent to one host.
   */
  request(packet: Packet, service: number, isUnicast: boolean, now: number): void {
    this.release(now);
    const mustWait = !this.held.isEmpty || this.isServiceHeld(service);
    if (mustWait && isUnicast && this.held.add(packet, service, now)) return;
    this.take(packet, service, isUnicast, now);
  }

  private take(packet: Packet, service: number, isUnicast: boolean, now: number): void {
    const length = packet.view.getUint16(packet.tcp + 4) - UDP_HEADER;
    const { mayBeQuic } = this.config.services[service]!;
    const copies = this.copies[service]!;
    const size = packet.think > 0 ? packet.think : Math.max(1, length);
    const count = length <= 0 ? 1 : Math.ceil(length / size);
    const { counters } = this.config;
    counters[DATAGRAM.captured]! += count * copies.length;
    if (!isUnicast || isToGroup(packet)) {
      this.drop("group", count * copies.length);
      return;
    }
    if (length < 0 || length > packet.length) {
      this.drop("malformed", count * copies.length);
      return;
    }
    if (length > packet.end - packet.payload) {
      this.drop("cut", count * copies.length);
      return;
    }
    if (mayBeQuic && isQuic(packet.bytes, packet.payload, length)) counters[DATAGRAM.quic]!++;
    readFlow(packet, this.key, service | (this.generation << 16));
    readIp(packet, this.header);
    for (let index = 0; index < count; index++) {
      const at = packet.payload + index * size;
      const part = Math.min(size, packet.payload + length - at);
      const query = this.dns === null ? null : this.dns.read(packet.bytes, at, part);
      for (const copy of copies) {
        this.key[COPY] = copy;
        const s = this.send(packet, at, part, now);
        if (query !== null) this.pair(query, s, service, copy, packet.time, now);
      }
    }
  }

  /** A query of DNS was sent on flow `s`, or was not (NONE). */
  private pair(query: Query, s: number, service: number, copy: number, time: number, now: number): void {
    const { dns, key, table } = this;
    if (s === NONE) dns!.notSent(query, service, copy, time);
    else dns!.sent(query, key, s, service, copy, table.words[s * ROW + PATH]!, time, now);
  }

  /** Takes what production has sent to a client: the beginning of a datagram at least. */
  production(packet: Packet, service: number): void {
    const { dns, key, table } = this;
    if (dns === null) return;
    const { bytes, payload, end, tcp, time } = packet;
    const length = packet.view.getUint16(tcp + 4) - UDP_HEADER;
    const to = Math.min(end, payload + length);
    readFlowOfAnswer(packet, key, service | (this.generation << 16));
    for (const copy of this.copies[service]!) {
      key[COPY] = copy;
      const s = table.findClient(key);
      const isAwaited = s !== NONE && dns.production(s, bytes, payload, to, length, time);
      if (!isAwaited) dns.keepEarly(key, bytes, payload, to, length, time);
    }
  }

  /** Takes a packet of a target; `packet.index` is the path it came back on, `packet.think` as in a request. */
  response(packet: Packet, now: number): void {
    const { config, table } = this;
    const { counters } = config;
    const path = packet.index;
    const count = packet.think > 0 ? Math.max(1, Math.ceil(packet.length / packet.think)) : 1;
    counters[DATAGRAM.responses]! += count;
    counters[DATAGRAM.responseBytes]! += packet.length;
    if (config.paths[path]!.fromClient) readAddress(packet, DESTINATION, this.address, 0);
    const s = table.findOwn(path, packet.destinationPort, this.address, 0);
    if (s === NONE) {
      counters[DATAGRAM.strayResponses]! += count;
      return;
    }
    if (this.dns !== null) {
      const length = packet.think > 0 ? Math.min(packet.think, packet.length) : packet.length;
      const { bytes, payload, end, time } = packet;
      this.dns.target(s, bytes, payload, Math.min(end, payload + length), length, time);
    }
    for (let i = 0; i < count; i++) {
      const sentAt = this.awaiting.settle(s);
      if (sentAt < 0) break;
      counters[DATAGRAM.answered]!++;
      const latency = Math.max(0, packet.time - sentAt);
      if (latency > counters[DATAGRAM.latencyMax]!) counters[DATAGRAM.latencyMax] = latency;
      config.onLatency(latency);
    }
    table.touch(s, now);
    this.publish();
  }

  /** Counts datagrams without an answer as unanswered after the timeout, and removes idle flows. */
  advance(now: number): void {
    this.release(now);
    const { timeout, idleTimeout, counters } = this.config;
    while (now - this.awaiting.oldest >= timeout) {
      this.awaiting.settleOldest();
      counters[DATAGRAM.unanswered]!++;
    }
    this.dns?.advance(now);
    for (let s = this.table.leastRecent; s !== NONE; s = this.table.leastRecent) {
      if (now - this.table.usedAt[s]! < idleTimeout) break;
      this.forget(s);
    }
    this.publish();
  }

  /** Other time-outs hold from now on, us. */
  change(timeout: number, idleTimeout: number): void {
    Object.assign(this.config, { timeout, idleTimeout });
  }

  /** One more path; undefined: one of another protocol. */
  addPath(path: DatagramPath | undefined): void {
    this.config.paths.push(path);
    this.table.addPath(path?.fromClient === true);
  }

  /** The service of this index, which may be new, from now on; the routes that it had keep their places. */
  setService(index: number, service: DatagramService | undefined): void {
    const { services, replicas } = this.config;
    services[index] = service;
    this.copies[index] = copiesOf(service?.routes ?? [], replicas);
    this.turns.set(index, service);
  }

  /** Forgets the flows to targets that are gone: their next datagrams begin others. */
  endRetired(): void {
    const { table } = this;
    const { services } = this.config;
    const gone = services.map(
      (service) =>
        new Set(service?.routes.flat().flatMap(({ weight, paths }) => (weight === 0 ? paths : []))),
    );
    for (let s = table.leastRecent; s !== NONE; ) {
      const next = table.after(s);
      const row = s * ROW;
      if (gone[table.words[row + SERVICE]! & 0xffff]?.has(table.words[row + PATH]!)) this.forget(s);
      s = next;
    }
    this.publish();
  }

  /** The end of the run: sends the held datagrams, or drops them if their path is still held. */
  end(): void {
    this.release(Number.POSITIVE_INFINITY);
    this.dns?.close();
    this.publish();
  }

  /** us until `advance` has something to do, at most `limit`. */
  wait(now: number, limit: number): number {
    if (!this.held.isEmpty) return Math.min(limit, HELD_CHECK);
    const { timeout, idleTimeout } = this.config;
    const s = this.table.leastRecent;
    const idle = s === NONE ? Number.POSITIVE_INFINITY : this.table.usedAt[s]! + idleTimeout;
    const due = Math.min(this.awaiting.oldest + timeout, idle, this.dns?.dueAt ?? Number.POSITIVE_INFINITY);
    return Math.max(0, Math.min(limit, due - now));
  }

  /** Datagrams without an answer yet. */
  get unsettled(): number {
    return this.awaiting.count;
  }

  /** Calls `each` for every flow on a path: see src/engine/sessions/hold.ts. */
  forEachFlow(path: number, each: (port: number, words: Int32Array, at: number) => void): void {
    const { table } = this;
    for (let s = table.leastRecent; s !== NONE; s = table.after(s)) {
      const row = s * ROW;
      if (table.words[row + PATH] === path) each(table.words[row + PORT]!, table.words, row);
    }
  }

  /** All clients are gone: a datagram with the same addresses and ports begins a new flow. */
  endClients(): void {
    this.generation = (this.generation + 1) & 0x7fff;
  }

  private wordsOf(egress: number, { bytes }: PacketBatch): Words {
    this.words[egress] ??= wordsOf(bytes);
    return this.words[egress];
  }

  private release(now: number): void {
    if (!this.held.isEmpty) this.held.release(this.isServiceHeldNow, now, this.takeHeld);
  }

  private isServiceHeld(service: number): boolean {
    const { services, isHeld } = this.config;
    for (const route of services[service]!.routes) {
      for (const { weight, paths } of route) {
        if (weight > 0) for (const path of paths) if (isHeld(path)) return true;
      }
    }
    return false;
  }

  /** Sends `length` bytes of the packet's payload from `at` on, on the flow of `key`; returns that, or NONE if they are dropped. */
  private send(packet: Packet, at: number, length: number, now: number): number {
    const { config, key, table, header } = this;
    const { counters } = config;
    let s = table.findClient(key);
    if (s === NONE) {
      s = this.open(now);
      if (s === NONE) return NONE;
    } else {
      table.touch(s, now);
    }
    const row = s * ROW;
    const pathIndex = table.words[row + PATH]!;
    if (config.isHeld(pathIndex)) {
      this.drop("held", 1);
      return NONE;
    }
    const { pair, targetPort, egress, mtu, fromClient } = config.paths[pathIndex]!;
    const packets = packetsOf(pair.family, length, mtu);
    const batch = this.batches[egress]!;
    const isTooMany = packets > batch.offset.length || (packets > 1 && config.noFragment);
    if (packets === 0 || isTooMany) {
      this.drop("oversize", 1);
      return NONE;
    }
    if (!config.allow(now)) {
      this.drop("limit", 1);
      return NONE;
    }
    if (!hasRoomFor(batch, length, packets)) config.flush(egress);
    const words = this.wordsOf(egress, batch);
    if (fromClient) setSource(pair, table.words, row);
    header.sourcePort = table.words[row + PORT]!;
    header.targetPort = targetPort;
    this.id = (this.id + 1) >>> 0;
    header.id = this.id;
    pushDatagram(batch, words, pair, header, packet.bytes, at, length, mtu, Math.max(1, packet.time));
    counters[DATAGRAM.sent]!++;
    if (packets > 1) counters[DATAGRAM.fragmented]!++;
    if (this.awaiting.isFull) {
      this.awaiting.settleOldest();
      counters[DATAGRAM.unanswered]!++;
    }
    this.awaiting.add(s, now);
    counters[DATAGRAM.waiting] = this.awaiting.count;
    return s;
  }

  /** Opens a flow of ours for the client's flow in `key`; NONE (and the datagram is dropped) if there is no room or port. */
  private open(now: number): number {
    const { config, table, key } = this;
    if (table.count === table.capacity && !this.evict(now)) {
      this.drop("flows", 1);
      return NONE;
    }
    const path = this.choosePath();
    let port = this.choosePort(path);
    while (port === NONE && this.evict(now)) port = this.choosePort(path);
    if (port === NONE) {
      this.drop("ports", 1);
      return NONE;
    }
    const s = table.add(key, path, port, now);
    config.openFlow(path, port, table.words, s * ROW);
    config.counters[DATAGRAM.flowsOpened]!++;
    this.publish();
    return s;
  }

  /** Removes the least recently used flow; false if it was used within LEAST_IDLE. */
  private evict(now: number): boolean {
    const s = this.table.leastRecent;
    if (s === NONE || now - this.table.usedAt[s]! < LEAST_IDLE) return false;
    this.config.counters[DATAGRAM.flowsEvicted]!++;
    this.forget(s);
    return true;
  }

  private forget(s: number): void {
    const { table, config } = this;
    while (this.awaiting.settle(s) >= 0) config.counters[DATAGRAM.unanswered]!++;
    this.dns?.forget(s);
    const path = table.words[s * ROW + PATH]!;
    if (!config.paths[path]!.fromClient) this.ports.give(path, table.words[s * ROW + PORT]!);
    table.remove(s);
  }

  /** Target and path for the flow of `key`. */
  private choosePath(): number {
    const { key, config } = this;
    return this.turns.next(key[SERVICE]! & 0xffff, routeOf(key[COPY]!, config.replicas));
  }

  private choosePort(path: number): number {
    const { config, key, table } = this;
    if (!config.paths[path]!.fromClient) return this.ports.take(path);
    const own = key[CLIENT_PORTS]! >>> 16;
    if (config.keepsClientPorts && table.findOwn(path, own, key, 0) === NONE) return own;
    for (let i = 0; i < PORT_TRIES; i++) {
      const port = this.ports.any();
      if (table.findOwn(path, port, key, 0) === NONE) return port;
    }
    return NONE;
  }

  private drop(reason: DatagramDropReason, count: number): void {
    this.config.counters[DATAGRAM[`dropped.${reason}`]]! += count;
  }

  private publish(): void {
    const { counters } = this.config;
    counters[DATAGRAM.waiting] = this.awaiting.count;
    counters[DATAGRAM.flowsActive] = this.table.count;
  }
}
