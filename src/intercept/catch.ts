/** Opens what catches responses in each mode, kernel programs or a netfilter queue; attaches, counts and removes it. */
import { InterfaceFilters } from "../capture/interface-filters.ts";
import { possibleCpus, ringBytes } from "../capture/maps.ts";
import type { XdpMode } from "../capture/xdp-links.ts";
import { XDP_COSTS } from "../capture/xdp-links.ts";
import { interceptProgram } from "../host/carried-programs.ts";
import { endLingeringGuards } from "../host/guard.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { Failure } from "../native/failure.ts";
import { libc } from "../native/libc.ts";
import { links } from "../native/netlink/netlink.ts";
import { openQueue } from "../native/nfqueue.ts";
import { readStatistics } from "../native/nfqueue-status.ts";
import { makeRule, type Rule } from "../netfilter/rule.ts";
import type { InterceptPlaneConfig } from "./data-plane/config.ts";
import { Learned, Owners } from "./data-plane/flow-maps.ts";
import { type Filter, type HookChoice, type InterceptService, loadIntercept } from "./kernel.ts";
import type { InterceptOptions } from "./options.ts";
import type { InterceptPlan } from "./plan.ts";
import type { CatchCounts } from "./summary.ts";

/** Bytes of all rings together, and of each at least. */
const RINGS = { total: 4 << 20, least: 256 << 10 };
/** Flows that are known at a time, by default: of the kernel's map, whose memory is allocated at once, and of our table. */
const KERNEL_FLOWS = 262144;
const TABLE_FLOWS = 1048576;
/** ms between two counts of the kernel's flows, which reads all of them. */
const COUNT_INTERVAL = 1000;

/** How messages name the way in which an interface catches. */
const WAYS = { native: " (in the driver)", generic: " (generic)", tc: "" };

/** What the data plane reads from. */
type SourceConfig = Pick<
  InterceptPlaneConfig,
  | "rings"
  | "ringBytes"
  | "controlMap"
  | "cookiesMap"
  | "ownersMap"
  | "learnedMap"
  | "registeredMap"
  | "inherits"
  | "datagramFlowsMap"
  | "queue"
  | "maxFlows"
  | "hook"
>;

export interface Catch {
  config: SourceConfig;
  /** The interfaces, with the mode of XDP if that is used: "net0 (in the driver)". */
  places: string[];
  /** Lines for the log that the user should know. */
  notes: string[];
  /** `exact`: with the number of flows as of now, which takes longer to count. */
  counts(exact?: boolean): CatchCounts;
  /** Attaches to interfaces that were not there at the start; returns their names. */
  follow(): string[];
  /** Detaches and closes everything. True: a guard goes on dropping for the time to linger. */
  end(): boolean;
}

const NOTHING = {
  active: 0,
  learned: 0,
  confirmed: 0,
  refused: 0,
  ringFull: 0,
  inert: 0,
  oversize: 0,
  unreadable: 0,
  fragments: 0,
  icmpErrors: 0,
  unknownCookies: 0,
};

function kernelServices({ services }: InterceptPlan): InterceptService[] {
  return services.flatMap(({ address, ports }): InterceptService[] =>
    address
      ? [{ address: address.bytes, family: address.family, ports: [ports] }]
      : ([4, 6] as const).map((family) => ({ address: null, family, ports: [ports] })),
  );
}

/** Caches a count that is expensive: it is taken anew every COUNT_INTERVAL at most, or if it is to be exact. */
function slowly(count: () => number): (exact: boolean) => number {
  let at = Number.NEGATIVE_INFINITY;
  let last = 0;
  return (exact) => {
    if (!exact && performance.now() - at < COUNT_INTERVAL) return last;
    last = count();
    at = performance.now();
    return last;
  };
}

function openKernel(plan: InterceptPlan, options: InterceptOptions, libraries: CarriedLibrary[]): Catch {
  if (!plan.prefersXdp) return openBy(options.hook, plan, options, libraries);
  try {
    return openBy("xdp-native", plan, options, libraries);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const caught = openBy("auto", plan, options, libraries);
    caught.notes.push(`XDP is not used: ${error.message}`);
    return caught;
  }
}

function openBy(
  hook: HookChoice,
  plan: InterceptPlan,
  options: InterceptOptions,
  libraries: CarriedLibrary[],
): Catch {
  const isTarget = plan.mode === "target";
  const kernel = loadIntercept({
    object: interceptProgram(),
    mode: isTarget ? "target" : "assistant",
    services: kernelServices(plan),
    flows: options.maxFlows ?? KERNEL_FLOWS,
    ringBytes: ringBytes(RINGS, possibleCpus()),
    hook,
    linger: options.linger,
    libraries,
  });
  try {
    const modes = new Map<number, XdpMode>();
    const attach = (ifindexes: number[], filter?: Filter) => {
      const found = kernel.attach(ifindexes, filter);
      found.forEach((mode, index) => {
        modes.set(ifindexes[index]!, mode);
      });
    };
    const filters =
      plan.filter === null
        ? null
        : new InterfaceFilters(
            plan.filter,
            () => ({ kind: kernel.filterKind, target: kernel.swallowProgram }),
            attach,
          );
    const attachTo = (ifindexes: number[]) => {
      if (filters) filters.attach(ifindexes);
      else attach(ifindexes);
    };
    const attached = new Set(plan.interfaces.map(({ ifindex }) => ifindex));
    attachTo([...attached]);
    const inherits = isTarget && kernel.inherit() > 0;
    // Packets that the guard of an earlier intercept drops by XDP would never reach programs at tc.
    if (!isTarget && kernel.hook !== "xdp") endLingeringGuards(true);
    const learned = isTarget ? new Learned(kernel.learnedMap, new Owners(kernel.ownersMap)) : null;
    const active = slowly(() => learned?.count() ?? 0);
    return {
      places: plan.interfaces.map(({ name, ifindex }) => name + WAYS[modes.get(ifindex) ?? "tc"]),
      notes: modes.size > 0 ? [XDP_COSTS] : [],
      config: {
        rings: kernel.rings,
        ringBytes: kernel.ringBytes,
        controlMap: kernel.controlMap,
        cookiesMap: kernel.cookiesMap,
        ownersMap: kernel.ownersMap,
        learnedMap: kernel.learnedMap,
        registeredMap: kernel.registeredMap,
        inherits,
        datagramFlowsMap: kernel.datagramFlowsMap,
        queue: null,
        maxFlows: options.maxFlows ?? (isTarget ? KERNEL_FLOWS : TABLE_FLOWS),
        hook: kernel.hook,
      },
      counts(exact = false) {
        const stats = kernel.stats();
        return {
          source: kernel.hook,
          active: active(exact),
          learned: stats.learned,
          confirmed: stats.confirmed,
          refused: stats.refused,
          ringFull: stats.responseRingFull,
          inert: stats.inert,
          oversize: stats.oversize,
          unreadable: stats.unreadable,
          fragments: stats.fragments,
          icmpErrors: stats.icmpErrors,
          unknownCookies: stats.unknownCookies,
        };
      },
      follow() {
        const fresh = links().filter(({ up, ifindex }) => up && !attached.has(ifindex));
        for (const { ifindex } of fresh) attached.add(ifindex);
        if (fresh.length > 0) attachTo(fresh.map(({ ifindex }) => ifindex));
        return fresh.map(({ name }) => name);
      },
      end() {
        const lingers = kernel.detach();
        filters?.close();
        return lingers;
      },
    };
  } catch (error) {
    kernel.detach();
    throw error;
  }
}

/** The queue is opened before the rule is made: the rule lets everything pass while nobody reads the queue. */
function openQueued(plan: InterceptPlan, options: InterceptOptions): Catch {
  const { queue, queueLength, pass, maxFlows } = options;
  const fd = openQueue(queue, queueLength === null ? {} : { length: queueLength });
  let rule: Rule | null = null;
  try {
    if (plan.services.length > 0) rule = makeRule({ queue, services: plan.services, pass });
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  const source = rule?.tool ?? "nfqueue";
  return {
    places: [],
    notes: [],
    config: {
      rings: [],
      ringBytes: 0,
      controlMap: -1,
      cookiesMap: -1,
      ownersMap: -1,
      learnedMap: -1,
      registeredMap: -1,
      inherits: false,
      datagramFlowsMap: -1,
      queue: { fd, number: queue },
      maxFlows: maxFlows ?? TABLE_FLOWS,
      hook: source,
    },
    counts() {
      const statistics = readStatistics(queue);
      return { ...NOTHING, source, ringFull: statistics ? statistics.full + statistics.lost : 0 };
    },
    follow: () => [],
    end() {
      rule?.remove();
      libc.close(fd);
      return false;
    },
  };
}

/** Loads and attaches, or makes the rule: from now on responses are caught. Throws a Failure (3, 4, 5). */
export function openCatch(
  plan: InterceptPlan,
  options: InterceptOptions,
  libraries: CarriedLibrary[],
): Catch {
  if (plan.mode === "nfqueue") return openQueued(plan, options);
  try {
    return openKernel(plan, options, libraries);
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== 5 || plan.mode !== "target") throw error;
    throw error.withFix("Catch without eBPF meanwhile: --mode nfqueue");
  }
}
