/** What all sessions of the module share: configuration, account, texts of prepared statements, the last login. */
import type { PairSink } from "../../pairs/pair.ts";
import type { Account } from "./account.ts";
import type { MysqlConfig } from "./config.ts";
import type { Login } from "./packets/login.ts";
import { Escapes } from "./pairs/naming.ts";
import { Texts } from "./statements.ts";

/** The user and password with which a user of production logs in at the target. */
export interface Credentials {
  target: string;
  password: string;
}

/** A name as it is on the wire: the bytes of UTF-8, each as a character (`text` of packets/reader.ts). */
const onWire = (name: string) => Buffer.from(name).toString("latin1");

export class Common {
  readonly texts = new Texts();
  /** The login that was captured last, for sessions whose own login was not captured. */
  lastLogin: Login | null = null;
  /** With the users' names as they are on the wire. */
  readonly config: MysqlConfig;
  readonly escapes = new Escapes();

  /** `pairs`: takes a pair of each command that is answered; null: none is made. */
  constructor(
    config: MysqlConfig,
    readonly account: Account,
    readonly pairs: PairSink | null,
  ) {
    const users = config.users.map((user) => ({
      ...user,
      name: onWire(user.name),
      target: onWire(user.target),
    }));
    this.config = { ...config, users };
  }

  /**
   * Undefined if no password is known: this is counted and logged. A user without a password in production has none at the
   * target either.
   */
  credentials(user: string, hasNoPassword: boolean): Credentials | undefined {
    const known = this.config.users.find(({ name }) => name === user);
    if (known) return known;
    if (hasNoPassword || this.config.skipGrant) return { target: user, password: "" };
    this.account.count("noPassword");
    const name = Buffer.from(user, "latin1").toString();
    this.account.note(
      `user ${user}`,
      `no password is known for the MySQL user "${name}": its sessions are not copied. Give it with -u or --mysql-users.`,
    );
    return undefined;
  }
}
