/** Decides whether a command of the client is sent to the target, and finds the statement that it is about. */

import type { Reason } from "./account.ts";
import type { MysqlConfig } from "./config.ts";
import {
  COM_BINLOG_DUMP,
  COM_BINLOG_DUMP_GTID,
  COM_CHANGE_USER,
  COM_CREATE_DB,
  COM_DEBUG,
  COM_DROP_DB,
  COM_INIT_DB,
  COM_PROCESS_KILL,
  COM_QUERY,
  COM_REFRESH,
  COM_REGISTER_SLAVE,
  COM_RESET_CONNECTION,
  COM_SHUTDOWN,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_CLOSE,
  COM_STMT_EXECUTE,
  COM_STMT_FETCH,
  COM_STMT_PREPARE,
  COM_STMT_RESET,
  COM_STMT_SEND_LONG_DATA,
  COM_TABLE_DUMP,
} from "./packets/constants.ts";
import { readChangeUser } from "./packets/login.ts";
import { integer32 } from "./packets/reader.ts";
import { judge, LongText } from "./sql/sql.ts";
import { ACCOUNTS, ADMINISTERS, DEFINES, WRITES } from "./sql/sql-statement.ts";
import { SETS_VARIABLES, type SessionState, USES_DATABASE } from "./state.ts";
import type { Statement } from "./statements.ts";

/** The result of `admit`. */
export interface Admission {
  /** Why the command is left out; null: it is sent. */
  reason: Reason | null;
  /**
   * COM_QUERY: what it does to the session (SETS_VARIABLES, USES_DATABASE). COM_CHANGE_USER, COM_RESET_CONNECTION: the era that
   * begins, low 16 bits. Else: the slot of its statement, or 0.
   */
  slot: number;
  /** The statement that it prepares. */
  prepared: Statement | undefined;
  /** Offset of its SQL text; -1 if it has none. */
  text: number;
}

/** Reused: valid until the next call of `admit`. */
const admission: Admission = { reason: null, slot: 0, prepared: undefined, text: -1 };

/**
 * Judges a command: `bytes` from `from` to `to` are the payload of its packet, or only its beginning if it is not `whole`. The
 * result is reused. Throws Malformed.
 */
export function admit(
  state: SessionState,
  config: MysqlConfig,
  bytes: Uint8Array,
  from: number,
  to: number,
  whole: boolean,
): Admission {
  const { statements } = state;
  const command = from < to ? bytes[from]! : 0;
  admission.reason = null;
  admission.slot = 0;
  admission.prepared = undefined;
  admission.text = -1;
  switch (command) {
    case COM_QUERY: {
      admission.text = from + 1 + state.attributesOf(bytes, from, to);
      admission.reason = judgeText(state, config, bytes, admission.text, to, whole);
      break;
    }
    case COM_STMT_PREPARE: {
      admission.text = from + 1;
      admission.reason = judgeText(state, config, bytes, admission.text, to, whole);
      const statement = statements.add(bytes, from + 1, to);
      if (statement) {
        statement.leftOut = admission.reason;
        statement.isWhole = whole;
      } else admission.reason ??= "unknown_statement";
      admission.slot = statement?.slot ?? 0;
      admission.prepared = statement;
      break;
    }
    case COM_STMT_EXECUTE:
    case COM_STMT_BULK_EXECUTE:
    case COM_STMT_FETCH:
    case COM_STMT_SEND_LONG_DATA:
    case COM_STMT_RESET:
    case COM_STMT_CLOSE: {
      const statement = to - from >= 5 ? statements.find(integer32(bytes, from + 1)) : undefined;
      admission.reason = statement ? statement.leftOut : "unknown_statement";
      admission.slot = statement?.slot ?? 0;
      if (statement && command === COM_STMT_CLOSE) {
        statements.closed(statement);
        if (statement.leftOut) statements.forget(statement);
      }
      break;
    }
    case COM_INIT_DB:
      state.captureDatabase(bytes.subarray(from + 1, to));
      break;
    case COM_CHANGE_USER:
      state.captureDatabase(readChangeUser(bytes, from, to, state.login!.capabilities).database);
      statements.closedAll();
      admission.slot = statements.era & 0xffff;
      break;
    case COM_RESET_CONNECTION:
      statements.closedAll();
      admission.slot = statements.era & 0xffff;
      break;
    case COM_CREATE_DB:
    case COM_DROP_DB:
      admission.reason = judgeEffects(config, DEFINES | WRITES);
      break;
    case COM_BINLOG_DUMP:
    case COM_BINLOG_DUMP_GTID:
    case COM_TABLE_DUMP:
    case COM_REGISTER_SLAVE:
      admission.reason = "replication";
      break;
    case COM_SHUTDOWN:
    case COM_PROCESS_KILL:
    case COM_DEBUG:
    case COM_REFRESH:
      admission.reason = judgeEffects(config, ADMINISTERS | WRITES);
  }
  return admission;
}

function judgeText(
  state: SessionState,
  config: MysqlConfig,
  bytes: Uint8Array,
  from: number,
  to: number,
  whole: boolean,
): Reason | null {
  const { effects, prepares, setsVariables, usesDatabase, usesSystem } = judge(bytes, from, to);
  const reason = judgeEffects(config, withAccounts(state, effects));
  state.isInSystem = usesSystem ?? state.isInSystem;
  if (whole) {
    admission.slot = (setsVariables ? SETS_VARIABLES : 0) | (usesDatabase ? USES_DATABASE : 0);
  }
  // If the rest of the text is judged too, LongAdmission counts them.
  if (whole || reason !== null) state.statements.countOther(prepares);
  return reason;
}

/** Judges a text that is longer than MOST_JUDGED, as it comes: it is sent unless its rest gives a reason against it. */
export class LongAdmission {
  private readonly text = new LongText();

  /** `number`: of the command (`Comparison.capture`). `prepared`: the statement that it prepares. */
  constructor(
    readonly number: number,
    private readonly prepared: Statement | undefined,
  ) {}

  take(bytes: Uint8Array, from: number, to: number): void {
    this.text.take(bytes, from, to);
  }

  /** The text has ended: why it is left out, or null. */
  end(state: SessionState, config: MysqlConfig): Reason | null {
    const { effects, prepares, usesSystem } = this.text.end();
    state.statements.countOther(prepares);
    const reason = judgeEffects(config, withAccounts(state, effects));
    state.isInSystem = usesSystem ?? state.isInSystem;
    if (this.prepared) this.prepared.leftOut = reason;
    return reason;
  }
}

/** A statement that writes in the database `mysql` may change accounts. */
function withAccounts({ isInSystem }: SessionState, effects: number): number {
  return isInSystem && effects & (WRITES | DEFINES) ? effects | ACCOUNTS : effects;
}

/** Why a text or command with these effects is left out by the configuration, or null. */
function judgeEffects({ accounts, skipDdl, readOnly }: MysqlConfig, effects: number): Reason | null {
  if (!accounts && effects & ACCOUNTS) return "account";
  if (!accounts && effects & ADMINISTERS) return "administration";
  if (skipDdl && effects & DEFINES) return "ddl";
  if (readOnly && effects & (WRITES | DEFINES | ACCOUNTS | ADMINISTERS)) return "write";
  return null;
}
