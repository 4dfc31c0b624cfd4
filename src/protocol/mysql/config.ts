/** What the module mysql is told. Plain data. */

/** A user of production, and as whom it logs in at the target. */
export interface MysqlUser {
  name: string;
  target: string;
  password: string;
}

export interface MysqlConfig {
  users: MysqlUser[];
  /** The target takes any login (--skip-grant-tables). */
  skipGrant: boolean;
  /** Of sessions whose login was not seen; "": none. */
  database: string;
  /** Only statements that cannot write are sent; none that define data; those about accounts and the server too. */
  readOnly: boolean;
  skipDdl: boolean;
  accounts: boolean;
}
