/** The verdict on a run: one sentence, in plain words. */
import { NOT_COMPARED, type NotCompared } from "../pairs/pair.ts";
import type { Judged } from "./judge.ts";
import type { Difference, Endpoint, Report } from "./report.ts";
import { counted, number, percent, time } from "./words.ts";

/** Fewer compared requests say little; a larger share of others is named. */
const FEW = 100;
const MANY_NOT_COMPARED = 0.01;

const nameOf = ({ method, name }: Endpoint) => (method === "" ? name : `${method} ${name}`);

function isError({ kind, where, isNoise }: Difference): boolean {
  return (
    !isNoise &&
    (kind === "answer" || kind === "status" || (kind === "end" && where.startsWith("complete ->")))
  );
}

/** `GET /cart/{id}: 500 instead of 200`. */
function inWords(endpoint: Endpoint, { kind, where }: Difference): string {
  const [from, to] = where.split(" -> ");
  if (kind === "answer") return `${nameOf(endpoint)}: no response`;
  if (kind === "status") return `${nameOf(endpoint)}: ${to} instead of ${from}`;
  if (kind === "end")
    return `${nameOf(endpoint)}: answers ${to === "complete" ? "whole instead of" : ""} cut short`;
  const place = {
    length: "length",
    field: `${where}`,
    body: where || "content",
    count: "count",
    latency: where,
  }[kind];
  return `${nameOf(endpoint)}: ${place}`;
}

function errorsIn(report: Report): string | null {
  if (report.errors === 0) return null;
  const worst = report.endpoints
    .filter(({ errors }) => errors > 0)
    .sort((one, other) => other.errors - one.errors);
  const first = worst[0]!;
  const difference = first.differences.find(isError);
  const example = difference === undefined ? nameOf(first) : inWords(first, difference);
  const more = worst.length > 1 ? `, and at ${counted(worst.length - 1, "more endpoint")}` : "";
  const judged = (report.outcomes.compared ?? 0) + (report.outcomes["production only"] ?? 0);
  return `${percent(report.errors / Math.max(1, judged))} of requests fail that production answered (${example}${more})`;
}

function slowerIn(judged: readonly Judged[]): string | null {
  const slow = judged.filter(({ slower }) => slower !== null);
  if (slow.length === 0) return null;
  const { endpoint, slower } = slow[0]!;
  const { percentile, by, production, target } = slower!;
  const times = by < 2 ? `${Math.round(100 * by)} % slower` : `${Math.round(by + 1)} times as slow`;
  const more = slow.length > 1 ? `, ${counted(slow.length - 1, "more endpoint")} slower too` : "";
  return `${nameOf(endpoint)} is ${times} at ${percentile} (${time(target)} instead of ${time(production)})${more}`;
}

function otherwiseIn(report: Report): string | null {
  const matters = (difference: Difference) =>
    !difference.isNoise &&
    difference.kind !== "latency" &&
    !(isError(difference) && difference.kind === "answer");
  const other = report.endpoints.filter(({ different, errors }) => different > errors);
  if (other.length === 0) return null;
  const named = other[0]!;
  const difference =
    named.differences.find((each) => matters(each) && !isFailing(each)) ?? named.differences.find(matters);
  const example =
    difference === undefined ? "" : ` (${inWords(named, difference)}${other.length > 1 ? ", ..." : ""})`;
  const [verb, count] =
    other.length === 1 ? ["answers", "1 endpoint"] : ["answer", counted(other.length, "endpoint")];
  return `${count} ${verb} otherwise${example}`;
}

function isFailing({ kind, where }: Difference): boolean {
  return (
    kind === "answer" || kind === "end" || (kind === "status" && /-> (5\d\d|error \d+|SERVFAIL)$/.test(where))
  );
}

/** What makes the verdict less than sure. */
function doubts(report: Report): string[] {
  const compared = report.outcomes.compared ?? 0;
  const reasons: (readonly [why: string, count: number])[] = (Object.keys(NOT_COMPARED) as NotCompared[]).map(
    (reason) => [NOT_COMPARED[reason], report.outcomes[reason] ?? 0],
  );
  reasons.push(["production's response was not captured", report.outcomes["target only"] ?? 0]);
  const present = reasons.filter(([, count]) => count > 0).sort(([, one], [, other]) => other - one);
  const left = present.reduce((sum, [, count]) => sum + count, 0);
  const said: string[] = [];
  if (left > MANY_NOT_COMPARED * report.count)
    said.push(`${percent(left / report.count)} of requests were not compared (mostly: ${present[0]![0]})`);
  if (compared > 0 && compared < FEW)
    said.push(`only ${counted(compared, "request")} compared: too few to be sure`);
  if ((report.notLookedInto ?? 0) > MANY_NOT_COMPARED * compared)
    said.push(
      `the content of ${counted(report.notLookedInto ?? 0, "request")} that differs was not looked into`,
    );
  if (report.body === false && said.length === 0 && compared > 0) said.push("heads and lengths only");
  return said;
}

/**
 * The verdict, and whether the target is worse: it fails, is slower for certain, or answers otherwise in a way that is not noise. `judged`:
 * the endpoints of the report, the worst first.
 */
export function verdictOf(report: Report, judged: readonly Judged[]): { text: string; isWorse: boolean } {
  const compared = report.outcomes.compared ?? 0;
  const failed = report.outcomes["production only"] ?? 0;
  const found = [errorsIn(report), slowerIn(judged)].filter((text) => text !== null);
  const otherwise = otherwiseIn(report);
  const said = doubts(report);
  const tail = said.length > 0 ? `; ${said.join("; ")}` : "";
  if (compared + failed === 0) {
    const why = report.count === 0 ? "no request was paired with its responses" : said.join("; ");
    return { text: `nothing was compared: ${why}`, isWorse: false };
  }
  if (found.length > 0 || otherwise !== null) {
    const kind = found.length > 0 ? "worse" : "different";
    return {
      text: `${kind}: ${[...found, otherwise].filter((text) => text !== null).join(", ")}${tail}`,
      isWorse: true,
    };
  }
  const endpoints = report.endpoints.length;
  const noise = report.endpoints
    .flatMap(({ differences }) => differences)
    .filter(({ isNoise }) => isNoise).length;
  const left = noise > 0 ? ` (${number(noise)} left out as noise)` : "";
  return {
    text: `the same: ${counted(compared, "request")} of ${counted(endpoints, "endpoint")} compared, no difference that matters${left}${tail}`,
    isWorse: false,
  };
}
