/**
 * What differs between what runs and a new plan. Services, routes, targets and paths that run have numbers, which sessions, kernel
 * maps and pairs name: they stay. What is new gets the next number; what is gone keeps its number, as a target with the weight 0, and
 * gets it back if it returns. No input, no output.
 */
import { formatAddress, formatEndpoint } from "../../config/address.ts";
import type { Plan, PlannedTarget } from "../plan.ts";

export interface NumberedTarget {
  /** Its address and port. */
  endpoint: string;
  /** 0: it is gone. */
  weight: number;
  /** Numbers of its paths. */
  paths: number[];
}

export interface NumberedService {
  key: string;
  routes: NumberedTarget[][];
}

/** All that has a number, in their order. */
export interface Numbered {
  services: NumberedService[];
  /** Keys of paths. */
  paths: string[];
}

export interface Difference {
  next: Numbered;
  /** By service and path of the plan: its number. */
  serviceOf: number[];
  pathOf: number[];
  /** By service and route of the plan: the number of the route in its service. */
  routeOf: number[][];
  /** Numbers of services that are new, or back; whose routes changed, these included; and that are gone. */
  added: number[];
  changed: number[];
  removed: number[];
  /** Numbers of paths that are used now and were not: targets to be tried. */
  opened: number[];
  /** For people: `+81-10.0.0.3`, `-80-10.0.0.4`, `80-10.0.0.2*3`. */
  lines: string[];
}

function serviceKey({ transport, address, port }: Plan["services"][number]): string {
  return `${transport ? `${transport}:` : ""}${address ? `${formatEndpoint(address.bytes, port)}` : port}`;
}

function endpointOf({ address, port }: PlannedTarget): string {
  return formatEndpoint(address.bytes, port);
}

/** A path is the same if it leads from the same kind of address to the same target: this host's own may become another one. */
function pathKey(
  { usesPool }: Plan,
  { local, target, targetPort, transport }: Plan["paths"][number],
): string {
  const from = local === null ? "clients" : usesPool ? formatAddress(local) : "own";
  return `${transport ? `${transport}:` : ""}${from} ${formatEndpoint(target, targetPort)}`;
}

/** The numbers of a plan that is about to run: the places of its services and paths. */
export function numberedOf(plan: Plan): Numbered {
  return {
    services: plan.services.map((service) => ({
      key: serviceKey(service),
      routes: service.routes.map(({ targets }) =>
        targets.map((target) => ({
          endpoint: endpointOf(target),
          weight: target.weight,
          paths: target.paths,
        })),
      ),
    })),
    paths: plan.paths.map((path) => pathKey(plan, path)),
  };
}

const isLive = (route: readonly NumberedTarget[]) => route.some(({ weight }) => weight > 0);

function usedPaths({ services }: Numbered): Set<number> {
  const targets = services.flatMap(({ routes }) => routes.flat());
  return new Set(targets.flatMap(({ weight, paths }) => (weight > 0 ? paths : [])));
}

/** Targets of a route that another has too: those in use count, and of as many those that are gone. */
function likeness(route: readonly NumberedTarget[], wanted: readonly NumberedTarget[]): number {
  const shared = (isUsed: boolean) =>
    wanted.filter(({ endpoint }) =>
      route.some((one) => one.endpoint === endpoint && one.weight > 0 === isUsed),
    ).length;
  return shared(true) + shared(false) / 1000;
}

/** Places the wanted routes where the most similar ones are, and new ones behind all. */
function placeRoutes(
  before: readonly NumberedTarget[][],
  wanted: readonly NumberedTarget[][],
): { next: NumberedTarget[][]; places: number[] } {
  const pairs = wanted.flatMap((want, index) =>
    before.map((route, place) => ({ index, place, likeness: likeness(route, want) })),
  );
  pairs.sort((one, other) => other.likeness - one.likeness || one.place - other.place);
  const placeOf = new Map<number, number>();
  const taken = new Set<number>();
  for (const { index, place, likeness } of pairs) {
    if (likeness === 0 || placeOf.has(index) || taken.has(place)) continue;
    placeOf.set(index, place);
    taken.add(place);
  }
  const next = before.map((route) => route.map((target) => ({ ...target, weight: 0 })));
  const places = wanted.map((want, index) => {
    const place = placeOf.get(index);
    if (place === undefined) return next.push([...want]) - 1;
    next[place] = placeTargets(next[place]!, want);
    return place;
  });
  return { next, places };
}

function placeTargets(gone: readonly NumberedTarget[], wanted: readonly NumberedTarget[]): NumberedTarget[] {
  const next = [...gone];
  const taken = new Set<number>();
  for (const want of wanted) {
    // A target may stand in a route twice.
    const place = next.findIndex(({ endpoint }, index) => endpoint === want.endpoint && !taken.has(index));
    const at = place < 0 ? next.length : place;
    next[at] = want;
    taken.add(at);
  }
  return next;
}

/** `80-10.0.0.2|10.0.0.3*2` of all routes that are in use. */
function written({ key, routes }: NumberedService): string[] {
  return routes.filter(isLive).map((route) => {
    const targets = route.filter(({ weight }) => weight > 0);
    return `${key}-${targets.map(({ endpoint, weight }) => endpoint + (weight === 1 ? "" : `*${weight}`)).join("|")}`;
  });
}

/** What is in `all` and not in `others`; as often as it is there more often. */
function without(all: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return all.filter((one) => {
    const at = left.indexOf(one);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

const NOTHING: NumberedService = { key: "", routes: [] };

/** Numbers a new plan, given what runs. */
export function differenceOf(before: Numbered, plan: Plan): Difference {
  const wanted = numberedOf(plan);
  const paths = [...before.paths];
  const pathOf = wanted.paths.map((key) => {
    const known = paths.indexOf(key);
    return known >= 0 ? known : paths.push(key) - 1;
  });
  const services: NumberedService[] = before.services.map((service) => ({
    ...service,
    routes: placeRoutes(service.routes, []).next,
  }));
  const routeOf: number[][] = [];
  const serviceOf = wanted.services.map(({ key, routes }) => {
    const numbered = routes.map((route) =>
      route.map((target) => ({ ...target, paths: target.paths.map((path) => pathOf[path]!) })),
    );
    const known = services.findIndex((service) => service.key === key);
    const { next, places } = placeRoutes(before.services[known]?.routes ?? [], numbered);
    routeOf.push(places);
    if (known < 0) return services.push({ key, routes: next }) - 1;
    services[known] = { key, routes: next };
    return known;
  });
  const next = { services, paths };
  const numbers = [...services.keys()];
  const was = (number: number) => before.services[number] ?? NOTHING;
  const wasLive = (number: number) => was(number).routes.some(isLive);
  const isLiveNow = (number: number) => services[number]!.routes.some(isLive);
  const used = usedPaths(before);
  const isOther = (number: number) => JSON.stringify(was(number)) !== JSON.stringify(services[number]);
  const changed = numbers.filter(isOther);
  return {
    next,
    serviceOf,
    pathOf,
    routeOf,
    added: numbers.filter((number) => isLiveNow(number) && !wasLive(number)),
    changed,
    removed: numbers.filter((number) => !isLiveNow(number) && wasLive(number)),
    opened: [...usedPaths(next)].filter((path) => !used.has(path)),
    lines: changed.flatMap((number) => {
      const [old, now] = [written(was(number)), written(services[number]!)];
      return [...without(old, now).map((one) => `-${one}`), ...without(now, old).map((one) => `+${one}`)];
    }),
  };
}
