/** The account of the comparison: the section `comparison` of the JSON object, and its lines of the summary and the status line. */
import type { ComparisonAccount } from "../../compare/comparison.ts";
import type { BrokenBound, Endpoint, Report } from "../../compare/report.ts";
import { NOT_COMPARED, type NotCompared, type Outcome } from "../../pairs/pair.ts";
import { duration, number, percent } from "../../runtime/figures.ts";
import { printable } from "../../runtime/printable.ts";

/** How many endpoints the account names. */
const WORST = 10;

/** What is known while it runs, and at the end. */
export type ComparedAccount = ComparisonAccount & {
  verdict?: string;
  broken?: BrokenBound[];
  worst?: ReturnType<typeof endpointOf>[];
};

function endpointOf({ service, method, name, count, errors, different, worse, latency }: Endpoint) {
  const of = ({ p50, p99 }: Endpoint["latency"]["target"]) => ({ p50, p99 });
  const latency_us = { production: of(latency.production), target: of(latency.target) };
  return { service, method, name, count, errors, different, worse, latency_us };
}

/** What was counted, with what was found. */
export function withFindings(account: ComparisonAccount, { verdict, endpoints }: Report): ComparedAccount {
  return {
    ...account,
    verdict: verdict.text,
    broken: verdict.broken,
    worst: endpoints.slice(0, WORST).map(endpointOf),
  };
}

/** `compared 1,200  errors 3`. */
export function comparisonWords({ outcomes, errors }: ComparedAccount): string[] {
  return [`compared ${number(outcomes.compared ?? 0)}`, `errors ${number(errors)}`];
}

/** `12 not compared: the request was not sent to the target`. */
function otherOutcome([outcome, count]: [string, number]): string {
  const cause = NOT_COMPARED[outcome as NotCompared] as string | undefined;
  return `${number(count)} ${cause === undefined ? outcome : `not compared: ${cause}`}`;
}

/** `GET /users/{id} of 80: 12 errors and 40 different in 1,200, p99 3.0 ms, production 1.2 ms`. */
function worstRow(endpoint: ReturnType<typeof endpointOf>): string {
  const { service, method, name, count, errors, different, latency_us: latency } = endpoint;
  const of = `${number(errors)} errors and ${number(different)} different in ${number(count)}`;
  const times = `p99 ${duration(latency.target.p99)}, production ${duration(latency.production.p99)}`;
  return `${printable(`${method} ${name}`)} of ${service}: ${of}, ${times}`;
}

/** Lines of the summary: names and texts. */
export function comparisonRows(account: ComparedAccount): [name: string, text: string | false][] {
  const { requests, outcomes, errors, different, verdict, worst = [] } = account;
  const compared = outcomes.compared ?? 0;
  const others = (Object.entries(outcomes) as [Outcome, number][]).filter(
    ([outcome, count]) => outcome !== "compared" && count > 0,
  );
  const bad = worst.filter((endpoint) => endpoint.worse > 0);
  return [
    ["verdict", verdict !== undefined && printable(verdict)],
    [
      "compared",
      `${number(compared)} of ${number(requests)} requests: ${number(errors)} errors that production has not (${percent(errors, compared)}), ${number(different)} different (${percent(different, compared)})`,
    ],
    ["others", others.length > 0 && others.map(otherOutcome).join("; ")],
    ...bad.map((endpoint): [string, string] => ["worst", worstRow(endpoint)]),
  ];
}
