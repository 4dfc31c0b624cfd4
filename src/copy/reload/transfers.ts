/** Changes what is copied where while a copy runs: see reload.ts for the design. */
import { isDeepStrictEqual } from "node:util";
import type { KernelPath } from "../../capture/kernel/options.ts";
import type { AnsweringService, KernelService } from "../../capture/services.ts";
import { formatAddress, sameAddress } from "../../config/address.ts";
import { protocolFor } from "../../config/protocol.ts";
import { labelOf } from "../../config/transfer.ts";
import { claimPorts, refuseClaimed } from "../../host/claims.ts";
import type { PathConfig } from "../../inject/path.ts";
import { type LiveService, type OpenedPath, SPARE } from "../changes/news.ts";
import { mergeFindings } from "../data-plane/workers.ts";
import { diagnose } from "../diagnosis.ts";
import { answeringServices, hasUdp, kernelServices, pathsRead } from "../load.ts";
import type { CopyOptions } from "../options.ts";
import { connectOrdinarily } from "../ordinary-connection.ts";
import { thisHost } from "../plan/host.ts";
import { makePlan } from "../plan/make.ts";
import type { Plan } from "../plan.ts";
import { recognizeProtocols, requireLogins } from "../recognize.ts";
import type { RunningCopy } from "../run/running.ts";
import type { PlannedWay } from "../ways/way.ts";
import { type Difference, differenceOf, type Numbered, numberedOf } from "./difference.ts";
import { refusal } from "./refusal.ts";

/** ms in which the data planes have read what was captured for services that are gone. */
const READ_SPAN = 200;

/** A change of transfers that was tried and can be done. */
export interface Ready {
  /** For people. */
  lines: string[];
  /** The options with the protocols of all services. */
  options: CopyOptions;
  /** Resolves with the number of sessions that end, as their targets are gone. */
  apply(): Promise<number>;
  /** It is not applied after all. */
  cancel(): void;
}

export class Transfers {
  private numbered: Numbered;
  /** What runs, by their numbers: paths, and the labels of services. */
  private readonly paths: PathConfig[];
  private readonly labels: string[];
  private readonly first: { services: number; paths: number; answers: boolean };
  private ways: readonly PlannedWay[];

  constructor(private readonly running: RunningCopy) {
    const { plan, options } = running.current;
    this.numbered = numberedOf(plan);
    this.paths = plan.paths;
    this.labels = plan.services.map(labelOf);
    this.ways = plan.ways;
    this.first = {
      services: plan.services.length,
      paths: plan.paths.length,
      answers: answeringServices(plan, options).length > 0,
    };
  }

  /**
   * Plans what is asked for, and tries new targets; null: nothing changes. Throws a Failure (2, 3) where it cannot be done; nothing is
   * changed then.
   */
  async prepare(asked: CopyOptions): Promise<Ready | null> {
    const plan = await makePlan(asked, thisHost(asked, true), this.running.current.plan.key);
    const difference = differenceOf(this.numbered, plan);
    if (difference.changed.length === 0) return null;
    this.refuseFixed(plan, difference);
    const options = await this.withProtocols(plan, difference, asked);
    requireLogins(plan, options, this.running.source.counts().source);
    if (!this.first.answers && answeringServices(plan, options).length > 0)
      throw refusal("what a new service answers is to be read, which no service's was", "Restart it.");
    refuseClaimed(plan.paths, plan.ports);
    await this.tryTargets(plan, difference, options);
    return {
      lines: difference.lines,
      options,
      apply: () => this.apply(plan, difference, options),
      cancel: () => this.forgetWays(),
    };
  }

  private refuseFixed(plan: Plan, { next }: Difference): void {
    const { first } = this;
    if (hasUdp(plan) && !this.running.takesUdp)
      throw refusal("the first UDP service needs a restart here", "Restart it.");
    if (
      next.services.length > first.services + SPARE.services ||
      next.paths.length > first.paths + SPARE.paths
    )
      throw refusal(
        `there is room for ${SPARE.services} more services and ${SPARE.paths} more targets than at the start`,
        "Restart it.",
      );
    for (const { address, way } of plan.ways) {
      const known = this.ways.find((one) => sameAddress(one.address.bytes, address.bytes));
      if (known && !isDeepStrictEqual(known.way, way))
        throw refusal(
          `the way to ${formatAddress(address.bytes)} is another (MAC address, -o)`,
          "Restart it.",
        );
    }
  }

  /** The options with the protocols of new services. */
  private async withProtocols(plan: Plan, { added, serviceOf }: Difference, asked: CopyOptions) {
    const { log, current } = this.running;
    const services = plan.services.filter((_, index) => added.includes(serviceOf[index]!));
    if (services.length === 0) return { ...asked, protocols: current.options.protocols };
    const found = await recognizeProtocols(
      { ...plan, services },
      asked,
      (line) => log.info(line),
      (line) => log.warn(line),
    );
    const known = current.options.protocols;
    return { ...asked, protocols: [...known, ...found.filter((one) => !known.includes(one))] };
  }

  /** Opens the paths that are new or back, and tries them. Throws a Failure (3) that names what does not answer. */
  private async tryTargets(plan: Plan, difference: Difference, options: CopyOptions): Promise<void> {
    const { opened, pathOf } = difference;
    if (opened.length === 0) return;
    const { ways, plane, answers } = this.running;
    const paths = this.openPaths(plan, difference, options);
    // Whatever comes of it, these numbers are given.
    this.numbered = { ...this.numbered, paths: difference.next.paths };
    this.paths.push(...paths.map(({ path }) => path.config));
    try {
      answers.addPaths(
        paths.map(({ kernel }) => kernel),
        [...new Set(paths.map(({ ifindex }) => ifindex))],
      );
      const opening = { paths: paths.map(({ path }) => path), tries: opened, isTried: !options.force };
      const taking = plane.change({ opening });
      ways.publish();
      const found = (await taking).flatMap(({ found }) => found ?? []);
      if (options.force || found.length === 0) return;
      const { probes, ...rest } = mergeFindings(found);
      const ofPlan = { ...rest, probes: probes.map((one) => ({ ...one, path: pathOf.indexOf(one.path) })) };
      diagnose(ofPlan, plan, await connectOrdinarily(ofPlan, plan));
    } catch (error) {
      this.forgetWays();
      throw error;
    }
  }

  /** Ways that were opened, and are not used, are not followed any more. */
  private forgetWays(): void {
    this.running.ways.useOnly(this.ways.map(({ address }) => address.bytes));
  }

  /** The paths that have no number yet, as data planes and kernel know them; the ways of all are followed. */
  private openPaths(plan: Plan, { pathOf }: Difference, options: CopyOptions) {
    const read = pathsRead(plan, options);
    const made: { number: number; path: OpenedPath; kernel: KernelPath; ifindex: number }[] = [];
    for (const planned of plan.ways) {
      const numbers = planned.paths.map((index) => pathOf[index]!);
      const present = this.running.ways.use({ ...planned, paths: numbers }, plan.egresses[planned.egress]!);
      for (const index of planned.paths) {
        const number = pathOf[index]!;
        if (number < this.paths.length) continue;
        const { egress: _, ...path } = plan.paths[index]!;
        const local = planned.followsSource ? present.source : path.local;
        // Nothing is sent on that of a new way before it is published.
        const config = { ...path, local, egress: present.isNew ? 0 : present.slot };
        const mtu = Math.min(present.egress.mtu, options.mtu ?? present.egress.mtu);
        const { way, isHeld } = present;
        const payload = read.get(index);
        made.push({
          number,
          path: { config, way, isHeld, mtu, probeFrom: plan.probeFrom[index] ?? null },
          kernel: { ...path, local: local!, ...(payload && { payload }) },
          ifindex: present.egress.ifindex,
        });
      }
    }
    return made.sort((one, other) => one.number - other.number);
  }

  private async apply(plan: Plan, difference: Difference, options: CopyOptions): Promise<number> {
    const { plane, source, ways, observer, log, current } = this.running;
    const { next, serviceOf, removed, routeOf } = difference;
    for (const [index, service] of plan.services.entries()) this.labels[serviceOf[index]!] = labelOf(service);
    const numberOf = <T extends KernelService>(one: T): T => ({ ...one, index: serviceOf[one.index]! });
    const captured = kernelServices(plan).map(numberOf);
    const answering = answeringServices(plan, options).map(numberOf);
    const stays = ({ index }: KernelService | AnsweringService) => !difference.added.includes(index);
    if (removed.length > 0) {
      source.setServices(captured.filter(stays), answering.filter(stays));
      await Bun.sleep(READ_SPAN);
    }
    observer.setServices(plan.services, (service, route) =>
      route === undefined ? serviceOf[service]! : routeOf[service]![route]!,
    );
    const services = difference.changed.map((index) => ({
      index,
      config: this.liveService(plan, difference, options, index),
    }));
    const taken = await plane.change({
      services: { services, captured, answering, drain: options.drain * 1e6 },
    });
    source.setServices(captured, answering);
    ways.useOnly(plan.ways.map(({ address }) => address.bytes));
    claimPorts(this.paths, plan.ports, (line) => log.warn(line));
    this.numbered = next;
    this.ways = plan.ways;
    current.plan = plan;
    return taken.reduce((sum, { ending }) => sum + ending, 0);
  }

  private liveService(
    plan: Plan,
    { next, serviceOf }: Difference,
    options: CopyOptions,
    number: number,
  ): LiveService {
    const { routes, key } = next.services[number]!;
    const planned = plan.services[serviceOf.indexOf(number)];
    const isUdp = key.startsWith("udp:");
    return {
      label: this.labels[number]!,
      ...(isUdp && { transport: "udp" as const }),
      routes: routes.map((route) => route.map(({ weight, paths }) => ({ weight, paths }))),
      protocol: planned && !isUdp ? protocolFor(options.protocols, planned) : null,
    };
  }
}
