/** The protocol module for MySQL and MariaDB. */
import type { PairSink } from "../../pairs/pair.ts";
import type { ProtocolModule } from "../module.ts";
import type { Account } from "./account.ts";
import { Common } from "./common.ts";
import type { MysqlConfig } from "./config.ts";
import { MysqlSession } from "./session.ts";

/** `pairs`: as in `Common`. */
export function createMysql(
  config: MysqlConfig,
  account: Account,
  pairs: PairSink | null = null,
): ProtocolModule {
  const common = new Common(config, account, pairs);
  return {
    name: "mysql",
    // The server reads no command before it has answered the one before.
    waitsForever: true,
    // Connections of a pool are idle for hours, and their login and PREPAREs are not sent again.
    keptFor: 24 * 3600e6,
    open: (outlet) => new MysqlSession(common, outlet),
  };
}
