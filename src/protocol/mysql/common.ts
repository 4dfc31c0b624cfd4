/** What all sessions of the module share: what it is told, its account, and what was seen of other sessions. */
import type { Account } from "./account.ts";
import type { MysqlConfig } from "./config.ts";
import type { Login } from "./packets/login.ts";
import { Texts } from "./statements.ts";

/** As whom a user of production logs in at the target. */
export interface Credentials {
  target: string;
  password: string;
}

export class Common {
  readonly texts = new Texts();
  /** The login that was seen last, for sessions whose own was not. */
  lastLogin: Login | null = null;

  constructor(
    readonly config: MysqlConfig,
    readonly account: Account,
  ) {}

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
