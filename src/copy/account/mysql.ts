/** The account of MySQL sessions: the section `mysql` of the JSON object, and its lines of the summary. */
import { KINDS, type MysqlCounter, REASONS, type Reason } from "../../protocol/mysql/account.ts";
import { percentile } from "../../runtime/histogram.ts";

export type MysqlAccount = ReturnType<typeof takeMysql>;

/** What was counted of MySQL sessions since the start. */
export function takeMysql(
  count: (counter: MysqlCounter) => number,
  latency: { production: Uint32Array; target: Uint32Array },
) {
  const byKind = (what: "sent" | "answered") =>
    Object.fromEntries(KINDS.map((kind) => [kind, count(`mysql.${what}.${kind}`)]));
  const of = (words: Uint32Array) => ({ p50: percentile(words, 0.5), p99: percentile(words, 0.99) });
  return {
    sessions: count("mysql.sessions"),
    logins: count("mysql.logins"),
    refused: count("mysql.loginsRefused"),
    production_logins: {
      admitted: count("mysql.admitted"),
      refused: count("mysql.refusedOnline"),
      refused_copied: count("mysql.refusedCopied"),
      unknown: count("mysql.undecided"),
    },
    reconnected: count("mysql.reconnected"),
    tls: count("mysql.tls"),
    no_password: count("mysql.noPassword"),
    not_understood: count("mysql.notUnderstood"),
    restored: {
      statements: count("mysql.restoredStatements"),
      variables: count("mysql.restoredVariables"),
      failed: count("mysql.notRestored"),
    },
    sent: byKind("sent"),
    answered: byKind("answered"),
    left_out: Object.fromEntries(
      REASONS.map((reason) => [reason, count(`mysql.leftOut.${reason}`)]),
    ) as Record<Reason, number>,
    errors: {
      target: count("mysql.errorsAtTarget"),
      production: count("mysql.errorsInProduction"),
      only_target: count("mysql.errorsOnlyAtTarget"),
      only_production: count("mysql.errorsOnlyInProduction"),
      compared: count("mysql.compared"),
    },
    latency_us: { production: of(latency.production), target: of(latency.target) },
  };
}

const REASON_TEXTS: Record<Reason, string> = {
  write: "that may write (--read-only)",
  ddl: "that define data (--skip-ddl)",
  account: "about accounts",
  administration: "about the server",
  replication: "of replication",
  not_judged: "that could not be judged",
  unknown_statement: "of prepared statements that began before xcopy",
  failed_statement: "of statements that the target did not prepare",
  no_parameter_types: "without types of parameters",
  no_data_wanted: "of files that the target did not want",
  no_password: "to become a user without a known password",
};

/** Lines for a person: names and texts. */
export function mysqlRows(
  account: MysqlAccount,
  number: (value: number) => string,
  duration: (us: number) => string,
): [name: string, text: string | false][] {
  const {
    sessions,
    logins,
    refused,
    production_logins: online,
    reconnected,
    tls,
    no_password,
    not_understood,
    errors,
    latency_us,
    left_out,
  } = account;
  const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, one) => sum + one, 0);
  const omitted = Object.entries(left_out)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${number(count)} ${REASON_TEXTS[reason as Reason]}`);
  const times = ({ p50, p99 }: { p50: number; p99: number }) => `p50 ${duration(p50)}, p99 ${duration(p99)}`;
  return [
    [
      "mysql",
      `${number(sessions)} sessions, ${number(logins)} logins (${number(reconnected)} again), ${number(refused)} refused, ${number(no_password)} without a known password, ${number(tls)} by TLS`,
    ],
    [
      "logins",
      online.admitted + online.refused + online.unknown > 0 &&
        `${number(online.admitted)} let in by production, ${number(online.refused)} refused by it (${number(online.refused_copied)} copied as refused), ${number(online.unknown)} unknown`,
    ],
    [
      "",
      not_understood > 0 && `${number(not_understood)} times what was captured was not understood as MySQL`,
    ],
    ["commands", `${number(total(account.sent))} sent, ${number(total(account.answered))} answered`],
    ["omitted", omitted.length > 0 && `commands ${omitted.join(", ")}`],
    [
      "errors",
      `${number(errors.target)} at the target, ${number(errors.production)} in production; of ${number(errors.compared)} compared ${number(errors.only_target)} at the target only, ${number(errors.only_production)} in production only`,
    ],
    ["answers", `target ${times(latency_us.target)}; production ${times(latency_us.production)}`],
  ];
}
