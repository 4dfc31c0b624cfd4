/** Figures and names as the page and `xcopy report` write them. */
import type { DifferenceKind, Endpoint } from "../../compare/report.ts";
import type { Outcome, PairProtocol } from "../../pairs/pair.ts";
import { NOT_COMPARED } from "../../pairs/pair.ts";

/** What a kind of difference is, for people. */
export const KINDS: Record<DifferenceKind, string> = {
  status: "status",
  answer: "no response",
  end: "cut short",
  length: "length",
  field: "header",
  body: "body",
  count: "count",
  latency: "slower",
};

/** What an outcome means, for people. */
export function meaningOf(outcome: Outcome): string {
  if (outcome === "compared") return "both responses were compared";
  if (outcome === "target only") return "production's response was not captured at all";
  if (outcome === "production only") return "the target gave no response";
  return NOT_COMPARED[outcome] ?? outcome;
}

/** How much more `target` is than `production`: `+40 %`, `-3 %`, `x 12`; "" where nothing can be said. */
export function change(production: number, target: number): string {
  if (production <= 0 || target <= 0) return "";
  const ratio = target / production;
  if (ratio >= 10) return `x ${Math.round(ratio).toLocaleString("en-US")}`;
  const percent = (ratio - 1) * 100;
  const rounded = Math.abs(percent) < 10 ? Math.round(percent * 10) / 10 : Math.round(percent);
  if (rounded === 0) return "0 %";
  return `${rounded > 0 ? "+" : "\u2212"}${Math.abs(rounded)} %`;
}

/** `GET /users/{id}`. */
export function nameOf({ method, name }: Pick<Endpoint, "method" | "name">): string {
  return method === "" ? name : `${method} ${name}`;
}

/** What tells endpoints apart. */
export function keyOf({ service, protocol, method, name }: Endpoint): string {
  return JSON.stringify([service, protocol, method, name]);
}

/** RFC 1035 section 4.1.1. */
const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** A status in the words of its protocol; null: no answer. */
export function statusName(status: number | null, protocol: PairProtocol | null): string {
  if (status === null) return "no response";
  if (protocol === "mysql") return status === 0 ? "OK" : `error ${status}`;
  if (protocol === "dns") return RCODES[status] ?? `RCODE ${status}`;
  return String(status);
}

/** A time of day and date of the reader, from ms since 1970. */
export function dateOf(at: number): string {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}
