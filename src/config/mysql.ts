/** The options about MySQL: users with their passwords, and which statements are not sent. */
import type { Arguments } from "../command-line/reading/arguments.ts";
import { Failure } from "../native/failure.ts";
import type { MysqlConfig, MysqlUser } from "../protocol/mysql/config.ts";
import { readSecret } from "./secret.ts";

/** Options that mean something for MySQL only. */
export const MYSQL_OPTIONS = [
  "user",
  "mysql-users",
  "mysql-skip-grant",
  "mysql-database",
  "read-only",
  "skip-ddl",
  "account-statements",
  "trust-logins",
];

/** The credential that a service manager may pass (systemd.exec, LoadCredential=). */
const CREDENTIAL = "mysql-users";

/** `user@password` or `user>other@password`; the first @ ends the names. Errors name `option`, not the text. */
function parseUser(option: string, text: string): MysqlUser {
  const at = text.indexOf("@");
  const names = at < 0 ? [] : text.slice(0, at).split(">");
  if (names.length < 1 || names.length > 2 || names.includes("")) {
    // The text is not shown: it may hold a password.
    throw new Failure(
      `Cannot use ${option}: a user in it is not user@password`,
      'Write it as "user@password", without a password as "user@", to log in as another user as "user>other@password".',
      2,
    );
  }
  return { name: names[0]!, target: names[1] ?? names[0]!, password: text.slice(at + 1) };
}

/** All users of `-u`, then those of the file; the first of a name counts. Throws a Failure (exit code 2). */
export function parseUsers(values: readonly string[], file: string | null, text: string | null): MysqlUser[] {
  const given = values.flatMap((value) => value.split(",").map((part) => parseUser("-u", part)));
  const lines = (text ?? "").split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
  return [...given, ...lines.map((line) => parseUser(`--mysql-users "${file}"`, line))];
}

/** Throws a Failure (exit code 2). */
export function parseMysql(args: Arguments, environment = process.env): MysqlConfig {
  const directory = environment.CREDENTIALS_DIRECTORY;
  const named = args.get("mysql-users")?.[0] ?? null;
  const file = named ?? (directory ? `${directory}/${CREDENTIAL}` : null);
  const text = file === null ? null : readSecret("--mysql-users", file, named === null);
  return {
    users: parseUsers(args.get("user") ?? [], file, text),
    skipGrant: args.has("mysql-skip-grant"),
    database: args.get("mysql-database")?.[0] ?? "",
    readOnly: args.has("read-only"),
    skipDdl: args.has("skip-ddl"),
    accounts: args.has("account-statements"),
    trustLogins: args.has("trust-logins"),
  };
}
