/** Sessions of the module mysql, with a server that the test plays. */

import type { PairSink } from "../../src/pairs/pair.ts";
import { Account, type MysqlCounter } from "../../src/protocol/mysql/account.ts";
import type { MysqlConfig } from "../../src/protocol/mysql/config.ts";
import { createMysql } from "../../src/protocol/mysql/mysql.ts";
import { Host } from "./host.ts";
import { CAPABILITIES, command, greeting, login, ok } from "./server.ts";

const CONFIG: MysqlConfig = {
  users: [{ name: "shop", target: "test", password: "secret" }],
  skipGrant: false,
  database: "",
  readOnly: false,
  skipDdl: false,
  accounts: false,
  trustLogins: true,
};
export const QUIT = command(1);
export const query = (sql: string) => command(3, sql);

/** `pairs`: takes the pairs, if any are to be made. */
export function open(config: Partial<MysqlConfig> = {}, pairs: PairSink | null = null) {
  const counts = new Map<MysqlCounter, number>();
  const notes: string[] = [];
  const account = new Account(
    (counter) => counts.set(counter, (counts.get(counter) ?? 0) + 1),
    () => {},
    (text) => notes.push(text),
  );
  const module = createMysql({ ...CONFIG, ...config }, account, pairs);
  /** Another session of the same module. */
  const another = () => new Host(module);
  return { host: another(), another, notes, count: (counter: MysqlCounter) => counts.get(counter) ?? 0 };
}

export const secret = new TextEncoder().encode("secret");
export const has = (bytes: Uint8Array, part: Uint8Array) => Buffer.from(bytes).includes(Buffer.from(part));
/** The largest piece is the whole. */
export const SIZES = [1, 2, 3, 4, 5, 7, 11, 16, 31, 64, 100, 1000];

/** A session that is logged in and ready; `capabilities`: of the target. */
export function ready(
  config: Partial<MysqlConfig> = {},
  options: Parameters<typeof login>[1] = {},
  capabilities = CAPABILITIES,
) {
  const one = open(config);
  one.host.connect();
  one.host.response(greeting("mysql_native_password", { capabilities }));
  one.host.request(login("shop", options));
  one.host.response(ok(2));
  one.host.sent = [];
  return one;
}
