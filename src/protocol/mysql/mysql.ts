/** The protocol module for MySQL and MariaDB: what all its sessions share. */

import type { Outlet, ProtocolModule, ProtocolSession } from "../module.ts";
import type { Account } from "./account.ts";
import type { MysqlConfig } from "./config.ts";
import type { Login } from "./packets/login.ts";
import { MysqlSession } from "./session.ts";
import { Texts } from "./statements.ts";

/** As whom a user of production logs in at the target. */
export interface Credentials {
  target: string;
  password: string;
}

export class Mysql implements ProtocolModule {
  readonly name = "mysql";
  // The target reads no command before it has answered the one before.
  readonly waitsForever = true;
  // Connections of pools are idle for hours, and their logins and statements are not seen again.
  readonly keptFor = 24 * 3600e6;
  readonly texts = new Texts();
  /** The login that was seen last, for sessions whose own was not. */
  lastLogin: Login | null = null;

  constructor(
    readonly config: MysqlConfig,
    readonly account: Account,
  ) {}

  open(outlet: Outlet): ProtocolSession {
    return new MysqlSession(this, outlet);
  }

  /** Undefined if no password is known, which is counted and told; one that has none in production has none at the target. */
  credentials(user: string, hasNoPassword: boolean): Credentials | undefined {
    const known = this.config.users.find(({ name }) => name === user);
    if (known) return known;
    if (hasNoPassword || this.config.skipGrant) return { target: user, password: "" };
    this.account.count("noPassword");
    this.account.note(
      `user ${user}`,
      `no password is known for the MySQL user "${user}": its sessions are not copied. Give it with -u or --mysql-users.`,
    );
    return undefined;
  }
}

export function createMysql(config: MysqlConfig, account: Account): ProtocolModule {
  return new Mysql(config, account);
}
