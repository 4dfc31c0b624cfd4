/** Which endpoints the table shows, in which order. */
import type { Endpoint } from "../../compare/report.ts";
import { nameOf } from "./format.ts";

export type Only = "all" | "different" | "errors" | "slower";

export interface Column {
  id: string;
  title: string;
  /** What the title means, where it does not say so. */
  hint: string;
  /** Whether it is left out on a narrow screen ("wide": only there is it shown). */
  size: "always" | "middle" | "wide";
  value(endpoint: Endpoint): number | string;
}

const ratio = (production: number, target: number) => (production > 0 ? target / production : 0);

/** The columns; the first is the name. */
export const COLUMNS: readonly Column[] = [
  { id: "name", title: "Endpoint", hint: "", size: "always", value: (one) => nameOf(one) },
  { id: "count", title: "Requests", hint: "", size: "middle", value: (one) => one.count },
  {
    id: "errors",
    title: "Errors",
    hint: "requests in which the target failed and production did not",
    size: "always",
    value: (one) => one.errors,
  },
  {
    id: "different",
    title: "Different",
    hint: "requests with a difference that is not noise",
    size: "always",
    value: (one) => one.different,
  },
  {
    id: "p50production",
    title: "p50 production",
    hint: "median time to the last byte",
    size: "wide",
    value: (one) => one.latency.production.p50,
  },
  {
    id: "p50target",
    title: "p50 target",
    hint: "median time to the last byte",
    size: "wide",
    value: (one) => one.latency.target.p50,
  },
  {
    id: "p50",
    title: "p50 change",
    hint: "of the median time to the last byte",
    size: "middle",
    value: ({ latency }) => ratio(latency.production.p50, latency.target.p50),
  },
  {
    id: "p99production",
    title: "p99 production",
    hint: "time to the last byte that 99 % do not exceed",
    size: "wide",
    value: (one) => one.latency.production.p99,
  },
  {
    id: "p99target",
    title: "p99 target",
    hint: "time to the last byte that 99 % do not exceed",
    size: "wide",
    value: (one) => one.latency.target.p99,
  },
  {
    id: "p99",
    title: "p99 change",
    hint: "of the time to the last byte that 99 % do not exceed",
    size: "always",
    value: ({ latency }) => ratio(latency.production.p99, latency.target.p99),
  },
  {
    id: "size",
    title: "Size change",
    hint: "of the mean size of the content",
    size: "wide",
    value: ({ sizes }) => ratio(sizes.production.mean, sizes.target.mean),
  },
  {
    id: "worse",
    title: "Worse",
    hint: "how much worse the target is, all in all",
    size: "middle",
    value: (one) => one.worse,
  },
];

export interface Order {
  column: string;
  isDescending: boolean;
}

export const WORST_FIRST: Order = { column: "worse", isDescending: true };

/** The order after a click on a column's title: the other way round, or the largest first (names: from A). */
export function clicked(order: Order, column: string): Order {
  if (order.column === column) return { column, isDescending: !order.isDescending };
  return { column, isDescending: column !== "name" };
}

/** Sorted; what is equal stays in the order of the report. A new array. */
export function sorted(endpoints: readonly Endpoint[], { column, isDescending }: Order): Endpoint[] {
  const { value } = COLUMNS.find(({ id }) => id === column) ?? COLUMNS[0]!;
  const sign = isDescending ? -1 : 1;
  const compare = (one: number | string, other: number | string) => (one < other ? -1 : one > other ? 1 : 0);
  return endpoints
    .map((endpoint) => ({ endpoint, value: value(endpoint) }))
    .sort((one, other) => sign * compare(one.value, other.value))
    .map(({ endpoint }) => endpoint);
}

/** Whether it is certain that the target is slower there. */
export function isSlower(endpoint: Endpoint): boolean {
  return endpoint.differences.some(({ kind, isNoise }) => kind === "latency" && !isNoise);
}

/** Whether an endpoint is of those that were chosen. */
export function isOnly(endpoint: Endpoint, only: Only): boolean {
  if (only === "different") return endpoint.different > 0;
  if (only === "errors") return endpoint.errors > 0;
  return only === "all" || isSlower(endpoint);
}

/** Those with all the words of `query` in their name, protocol or differences, and that `only` chooses. */
export function filtered(endpoints: readonly Endpoint[], query: string, only: Only): Endpoint[] {
  const words = query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  return endpoints.filter((endpoint) => {
    if (!isOnly(endpoint, only)) return false;
    if (words.length === 0) return true;
    const wheres = endpoint.differences.map(({ kind, where }) => `${kind} ${where}`);
    const text = [nameOf(endpoint), endpoint.protocol, endpoint.service, ...wheres].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
