/** The UDP part of the data plane: puts fragments together, replays datagrams and sends them, separate from TCP. */
import type { Control } from "../../capture/control.ts";
import { flowHash } from "../../capture/history.ts";
import { checkTransport, OFFLOADED, WRONG } from "../../capture/integrity.ts";
import { Reassembly } from "../../capture/reassembly.ts";
import { FRAGMENT_INDEX, NOT_UNICAST } from "../../capture/record-index.ts";
import { type KernelService, Services } from "../../capture/services.ts";
import type { DatagramPath, DatagramService } from "../../datagram/config.ts";
import { DATAGRAM, DATAGRAM_COUNTERS } from "../../datagram/counters.ts";
import { DatagramReplay } from "../../datagram/replay.ts";
import type { NewWay } from "../../engine/engine.ts";
import type { PathConfig } from "../../inject/path.ts";
import { EMSGSIZE, monotonicMicroseconds } from "../../native/libc.ts";
import type { PairSink } from "../../pairs/pair.ts";
import { record } from "../../runtime/histogram.ts";
import { publish } from "../../runtime/shared.ts";
import { ipPair } from "../../wire/ip.ts";
import type { Packet } from "../../wire/packet.ts";
import { IPPROTO_UDP } from "../../wire/udp.ts";
import type { ChangedServices, OpenedPath } from "../changes/news.ts";
import { Egresses } from "../ways/egresses.ts";
import type { DatagramsConfig, DataPlaneConfig } from "./config.ts";
import { type DatagramShared, viewDatagramShared } from "./datagram-shared.ts";
import { currentMtu } from "./housekeeping.ts";
import { countSent } from "./send-all.ts";

/** The port where QUIC is looked for. */
const HTTPS = 443;
/** us between two looks at the next hops; most us that the end waits for answers after the last send. */
const REFRESH_INTERVAL = 1_000_000;
const LAST_ANSWERS = 500_000;

/** What it needs of the data plane. */
export interface DatagramSurroundings {
  control: Control;
  openFlow: (path: number, port: number, words: Int32Array, at: number) => void;
  /** Whether one more request may be sent now (--limit). */
  allow: (now: number) => boolean;
  /** Whether nothing may be sent on a path now. */
  isHeld: (path: number) => boolean;
  /** Where pairs go; null: none are made. */
  pairs: PairSink | null;
  /** Called before packets are sent: whether every answer to them would be caught. */
  settle: () => boolean;
}

export class Datagrams {
  readonly replay: DatagramReplay;
  private readonly counters = new Float64Array(DATAGRAM_COUNTERS.length);
  private readonly shared: DatagramShared;
  readonly egresses: Egresses;
  private readonly services: Services;
  private readonly reassembly: Reassembly;
  private readonly isDatagram: boolean[];
  private readonly isDatagramPath: boolean[];
  /** Packets that were not sent, because their answers would not have been caught. */
  private withheld = 0;
  private refreshAt = 0;
  private sentAt = 0;

  private readonly paths: (DatagramPath | undefined)[];

  constructor(
    private readonly config: DataPlaneConfig,
    datagrams: DatagramsConfig,
    private readonly surroundings: DatagramSurroundings,
  ) {
    const { services, paths, egresses } = config;
    this.shared = viewDatagramShared(datagrams.shared);
    this.services = new Services(datagrams.services);
    this.reassembly = new Reassembly(this.services, IPPROTO_UDP);
    this.egresses = new Egresses(egresses, config.mark);
    this.isDatagram = services.map(({ transport }) => transport === "udp");
    this.isDatagramPath = paths.map(({ transport }) => transport === "udp");
    this.paths = paths.map((path) =>
      path.transport === "udp" ? { ...pathOf(path), mtu: egresses[path.egress]!.mtu } : undefined,
    );
    this.replay = new DatagramReplay(
      {
        services: services.map(
          ({ transport, routes }, index) => transport && serviceOf(routes, datagrams.services, index),
        ),
        paths: this.paths,
        replicas: config.replicas,
        worker: config.worker.index,
        workers: config.worker.count,
        ports: config.ports,
        keepsClientPorts: config.keepsClientPorts,
        maxFlows: Math.ceil(config.maxSessions / config.worker.count),
        timeout: datagrams.timeout,
        idleTimeout: datagrams.idleTimeout,
        noFragment: datagrams.noFragment,
        counters: this.counters,
        allow: surroundings.allow,
        openFlow: surroundings.openFlow,
        isHeld: surroundings.isHeld,
        pairs: surroundings.pairs,
        flush: () => this.send(),
        onLatency: (us) => record(this.shared.latency, us),
        random: Math.random,
      },
      this.egresses.batches,
    );
  }

  /** Takes a captured packet if it is a datagram; false if it is not. */
  takeRequest(packet: Packet, now: number): boolean {
    const { index } = packet;
    if (index === FRAGMENT_INDEX) {
      this.takeFragment(packet, now);
      return true;
    }
    const service = index & ~NOT_UNICAST;
    if (!this.isDatagram[service]) return false;
    this.replay.request(packet, service, index === service, now);
    return true;
  }

  /** Takes what a UDP service of production has sent to a client: the datagram or its beginning (`packet.end`). False if it is of TCP. */
  takeProduction(packet: Packet): boolean {
    if (!this.isDatagram[packet.index]) return false;
    this.replay.production(packet, packet.index);
    return true;
  }

  /** Takes a response if it came back on a path for datagrams; false if it did not. */
  takeResponse(packet: Packet, now: number): boolean {
    if (!this.isDatagramPath[packet.index]) return false;
    // Without a UDP header it is an ICMP message.
    if (packet.tcp === packet.ip) this.counters[DATAGRAM.refused]!++;
    else this.replay.response(packet, now);
    return true;
  }

  change(numbers: { datagramTimeout: number; datagramIdleTimeout: number }): void {
    this.replay.change(numbers.datagramTimeout, numbers.datagramIdleTimeout);
  }

  addPath({ config, mtu }: OpenedPath): void {
    const isUdp = config.transport === "udp";
    this.isDatagramPath.push(isUdp);
    const path = isUdp ? { ...pathOf(config), mtu } : undefined;
    // The replay has the same list.
    this.replay.addPath(path);
  }

  setServices({ services, captured }: ChangedServices): void {
    const datagrams = captured.filter(({ transport }) => transport === "udp");
    this.services.become(datagrams);
    for (const { index, config } of services) {
      this.isDatagram[index] = config.transport === "udp";
      this.replay.setService(index, config.transport && serviceOf(config.routes, datagrams, index));
    }
  }

  endRetired(): void {
    this.replay.endRetired();
  }

  /** Datagrams of a path go another way from now on; those of its flows that wait for an answer count as unanswered. */
  move(path: number, { source, egress, mtu }: NewWay): void {
    const known = this.paths[path];
    if (known === undefined) return;
    known.egress = egress;
    known.mtu = mtu;
    if (source !== null) known.pair = ipPair(source, this.config.paths[path]!.target);
  }

  /** All clients are gone, as at the end of a recording. */
  endClients(): void {
    this.replay.endClients();
  }

  /** Datagrams captured so far, each copy counted; and a count that grows whenever one is sent, answered or given up. */
  get captured(): number {
    return this.counters[DATAGRAM.captured]!;
  }
  get progress(): number {
    return (
      this.counters[DATAGRAM.sent]! + this.counters[DATAGRAM.responses]! + this.counters[DATAGRAM.unanswered]!
    );
  }

  /** Datagrams that wait for an answer. */
  get unsettled(): number {
    return this.replay.unsettled;
  }

  /** The same; 0 as long as no datagram was ever answered. */
  get owed(): number {
    return this.counters[DATAGRAM.answered]! > 0 ? this.replay.unsettled : 0;
  }

  /** Does what is due, and sends. */
  advance(now: number): void {
    this.replay.advance(now);
    this.send();
    if (now >= this.refreshAt) {
      this.egresses.refresh();
      this.refreshAt = now + REFRESH_INTERVAL;
    }
    this.countFragments();
    publish(this.shared, this.counters);
  }

  /** us until `advance` has something to do, at most `limit`. */
  wait(now: number, limit: number): number {
    return Math.min(this.replay.wait(now, limit), Math.max(0, this.refreshAt - now));
  }

  /** Whether the end need not wait for answers: there are all, or nothing was sent for LAST_ANSWERS. */
  isQuiet(now: number): boolean {
    return this.replay.unsettled === 0 || now - this.sentAt > LAST_ANSWERS;
  }

  close(): void {
    this.replay.end();
    this.send();
    this.reassembly.clear();
    this.countFragments();
    publish(this.shared, this.counters);
    this.egresses.close();
  }

  private takeFragment(packet: Packet, now: number): void {
    const whole = this.reassembly.take(packet);
    if (whole === null) return;
    if (checkTransport(whole, OFFLOADED) === WRONG) this.counters[DATAGRAM.checksumErrors]!++;
    else if (flowHash(whole) < this.surroundings.control.leftOut) this.counters[DATAGRAM.unsampled]!++;
    else this.replay.request(whole, whole.index, true, now);
  }

  private countFragments(): void {
    const { captured, incomplete, overlapping } = this.reassembly;
    this.counters[DATAGRAM.fragments] = captured;
    this.counters[DATAGRAM.fragmentsIncomplete] = incomplete;
    this.counters[DATAGRAM.fragmentsOverlapping] = overlapping;
  }

  private send(): void {
    const { counters, shared } = this;
    const { batches, injectors } = this.egresses;
    if (batches.every(({ count }) => count === 0)) return;
    if (!this.surroundings.settle()) {
      for (const batch of batches) {
        this.withheld += batch.count;
        batch.clear();
      }
    }
    for (let i = 0; i < batches.length; i++) {
      const batch = batches[i]!;
      const injector = injectors[i]!;
      if (batch.count > 0) {
        injector.send(batch);
        if (injector.lastError === EMSGSIZE) this.lowerMtu(i);
        this.sentAt = monotonicMicroseconds();
        for (let row = 0; row < batch.count; row++) {
          const since = batch.due[row]!;
          if (since === 0) continue;
          record(shared.lag, this.sentAt - since);
          if (this.sentAt - since > counters[DATAGRAM.lagMax]!)
            counters[DATAGRAM.lagMax] = this.sentAt - since;
        }
        batch.clear();
      }
    }
    countSent(injectors, counters, DATAGRAM);
    counters[DATAGRAM.sendErrors]! += this.withheld;
  }

  /** The MTU of an interface or route has become smaller: later datagrams are cut for it. */
  private lowerMtu(egress: number): void {
    this.egresses.injectors[egress]!.lastError = 0;
    const { ifindex, isBound } = this.egresses.configOf(egress);
    for (const [index, path] of this.paths.entries()) {
      if (path?.egress !== egress) continue;
      const mtu = currentMtu(this.config.paths[index]!.target, this.config.mark, isBound ? ifindex : 0);
      if (mtu > 0) path.mtu = Math.min(path.mtu, mtu);
    }
  }
}

function serviceOf(
  routes: DatagramService["routes"],
  captured: readonly KernelService[],
  number: number,
): DatagramService {
  return { routes, mayBeQuic: captured.some(({ index, port }) => index === number && port === HTTPS) };
}

function pathOf(path: PathConfig): Omit<DatagramPath, "mtu"> {
  return {
    pair: ipPair(path.local ?? new Uint8Array(path.target.length), path.target),
    targetPort: path.targetPort,
    egress: path.egress,
    fromClient: path.local === null,
  };
}
