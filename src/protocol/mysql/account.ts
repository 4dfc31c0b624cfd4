/** The counters of MySQL sessions. */
import {
  COM_CHANGE_USER,
  COM_INIT_DB,
  COM_PING,
  COM_QUERY,
  COM_QUIT,
  COM_RESET_CONNECTION,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_CLOSE,
  COM_STMT_EXECUTE,
  COM_STMT_FETCH,
  COM_STMT_PREPARE,
  COM_STMT_RESET,
  COM_STMT_SEND_LONG_DATA,
  LOCAL_DATA,
} from "./packets/constants.ts";

/** Kinds of commands in the account. */
export const KINDS = [
  "query",
  "prepare",
  "execute",
  "fetch",
  "long_data",
  "close",
  "reset",
  "init_db",
  "ping",
  "change_user",
  "reset_connection",
  "local_data",
  "quit",
  "other",
] as const;
export type Kind = (typeof KINDS)[number];

/** Why a command was left out. */
export const REASONS = [
  "write",
  "ddl",
  "account",
  "administration",
  "replication",
  "not_judged",
  "unknown_statement",
  "failed_statement",
  "no_parameter_types",
  "no_data_wanted",
  "no_password",
] as const;
export type Reason = (typeof REASONS)[number];

const OTHERS = [
  "sessions",
  "logins",
  "loginsRefused",
  "admitted",
  "refusedOnline",
  "refusedCopied",
  "undecided",
  "reconnected",
  "tls",
  "noPassword",
  "notUnderstood",
  "restoredStatements",
  "restoredVariables",
  "notRestored",
  "errorsAtTarget",
  "errorsInProduction",
  "errorsOnlyAtTarget",
  "errorsOnlyInProduction",
  "compared",
] as const;

export const MYSQL_COUNTERS = [
  ...OTHERS.map((name) => `mysql.${name}` as const),
  ...KINDS.map((kind) => `mysql.sent.${kind}` as const),
  ...KINDS.map((kind) => `mysql.answered.${kind}` as const),
  ...REASONS.map((reason) => `mysql.leftOut.${reason}` as const),
];
export type MysqlCounter = (typeof MYSQL_COUNTERS)[number];

const KIND_OF: Record<number, Kind> = {
  [COM_QUERY]: "query",
  [COM_STMT_PREPARE]: "prepare",
  [COM_STMT_EXECUTE]: "execute",
  [COM_STMT_BULK_EXECUTE]: "execute",
  [COM_STMT_FETCH]: "fetch",
  [COM_STMT_SEND_LONG_DATA]: "long_data",
  [COM_STMT_CLOSE]: "close",
  [COM_STMT_RESET]: "reset",
  [COM_INIT_DB]: "init_db",
  [COM_PING]: "ping",
  [COM_CHANGE_USER]: "change_user",
  [COM_RESET_CONNECTION]: "reset_connection",
  [LOCAL_DATA]: "local_data",
  [COM_QUIT]: "quit",
};
const SENT = Array.from(
  { length: 256 },
  (_, command) => `mysql.sent.${KIND_OF[command] ?? "other"}` as const,
);
const ANSWERED = Array.from(
  { length: 256 },
  (_, command) => `mysql.answered.${KIND_OF[command] ?? "other"}` as const,
);

/** The kind of a command. */
export function kindOf(command: number): Kind {
  return KIND_OF[command] ?? "other";
}

/** Most different lines in the log. */
const MOST_NOTES = 20;

export class Account {
  private readonly noted = new Set<string>();

  /** `add` adds one to a counter, `latency` takes the us until an answer, `line` writes a line to the log. */
  constructor(
    private readonly add: (counter: MysqlCounter) => void,
    readonly latency: (side: "production" | "target", us: number) => void,
    private readonly line: (text: string) => void,
  ) {}

  count(what: (typeof OTHERS)[number]): void {
    this.add(`mysql.${what}`);
  }

  sent(command: number): void {
    this.add(SENT[command]!);
  }

  answered(command: number): void {
    this.add(ANSWERED[command]!);
  }

  leftOut(reason: Reason): void {
    this.add(`mysql.leftOut.${reason}`);
  }

  /** Logs a line for the user, once for each `key`. */
  note(key: string, text: string): void {
    if (this.noted.has(key) || this.noted.size === MOST_NOTES) return;
    this.noted.add(key);
    this.line(text);
  }
}
