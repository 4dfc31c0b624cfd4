/** What the live page gets each second: a report without what only an open row needs, and of it what changed. */
import type { Distribution, Endpoint, Moment, Report } from "../../compare/report.ts";
import { keyOf } from "./format.ts";

export interface Change {
  /** All of the report but its two long lists. */
  rest: Omit<Report, "timeline" | "endpoints">;
  /** The timeline from this moment on. */
  timeline: { from: number; moments: Moment[] };
  /** For each endpoint its place in the list before, or -1 - its place in `changed`; null: all are where and what they were. */
  order: number[] | null;
  changed: Endpoint[];
}

const withoutCurve = (of: Distribution): Distribution => ({ ...of, curve: [] });
const bothWithoutCurve = ({ production, target }: Endpoint["latency"]) => ({
  production: withoutCurve(production),
  target: withoutCurve(target),
});

/** The report without the curves and examples of its endpoints. */
export function compact(report: Report): Report {
  const endpoints = report.endpoints.map((endpoint) => ({
    ...endpoint,
    latency: bothWithoutCurve(endpoint.latency),
    firstByte: bothWithoutCurve(endpoint.firstByte),
    examples: [],
  }));
  return { ...report, endpoints };
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

/** What leads from one report to the other; both as `compact` makes them. */
export function changeOf(old: Report, next: Report): Change {
  const { timeline, endpoints, ...rest } = next;
  let from = 0;
  const shorter = Math.min(old.timeline.length, timeline.length);
  while (from < shorter && isSame(old.timeline[from], timeline[from])) from++;
  const places = new Map(old.endpoints.map((endpoint, index) => [keyOf(endpoint), index]));
  const changed: Endpoint[] = [];
  const order = endpoints.map((endpoint) => {
    const place = places.get(keyOf(endpoint));
    if (place !== undefined && isSame(old.endpoints[place], endpoint)) return place;
    return -changed.push(endpoint);
  });
  const isUnchanged = order.length === old.endpoints.length && order.every((place, index) => place === index);
  return {
    rest,
    timeline: { from, moments: timeline.slice(from) },
    order: isUnchanged ? null : order,
    changed,
  };
}

/** The report that `change` leads to from `old`. */
export function applyChange(old: Report, { rest, timeline, order, changed }: Change): Report {
  return {
    ...rest,
    timeline: [...old.timeline.slice(0, timeline.from), ...timeline.moments],
    endpoints: order
      ? order.map((place) => (place < 0 ? changed[-1 - place]! : old.endpoints[place]!))
      : old.endpoints,
  };
}
