/** The configuration of the module mysql. Plain data. */

/** A user of production, and the user and password for the target. */
export interface MysqlUser {
  name: string;
  target: string;
  password: string;
}

export interface MysqlConfig {
  users: MysqlUser[];
  /** The target accepts any login (--skip-grant-tables). */
  skipGrant: boolean;
  /** Database of sessions whose login was not captured; "": none. */
  database: string;
  /** Only statements that cannot write are sent. */
  readOnly: boolean;
  /** Statements that define data are left out. */
  skipDdl: boolean;
  /** Every login is believed: what production answers to it is not captured. */
  trustLogins: boolean;
  /** Statements about accounts and the server are sent too. */
  accounts: boolean;
}
