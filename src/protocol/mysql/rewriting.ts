/** Makes commands of a client ones for the target: its numbers of statements, its login. */
import type { Reason } from "./account.ts";
import type { Common } from "./common.ts";
import {
  CLIENT_QUERY_ATTRIBUTES,
  COM_CHANGE_USER,
  COM_QUERY,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_CLOSE,
  COM_STMT_EXECUTE,
  COM_STMT_FETCH,
  COM_STMT_RESET,
  COM_STMT_SEND_LONG_DATA,
  LOCAL_DATA,
} from "./packets/constants.ts";
import { readChangeUser, writeChangeUser } from "./packets/login.ts";
import { HEADER } from "./packets/packets.ts";
import { integer24 } from "./packets/reader.ts";
import { Writer } from "./packets/writer.ts";
import type { SessionState } from "./state.ts";
import type { Statement } from "./statements.ts";
import type { TargetConnection } from "./target.ts";

/** Why the command cannot be one for the target; or what is to be sent: the packet itself (null), changed in place or not, or another. */
export type Rewritten = Reason | Uint8Array | null;

export class Rewriting {
  constructor(
    private readonly common: Common,
    private readonly state: SessionState,
    private readonly target: TargetConnection,
  ) {}

  /**
   * `bytes` from `from` to `to`: the packet, or its beginning. `again`: it was asked about before, and may have been changed
   * for a connection that is gone.
   */
  rewrite(
    command: number,
    slot: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    again: boolean,
  ): Rewritten {
    switch (command) {
      case COM_QUERY:
        return this.dropAttributes(bytes, from, to);
      case LOCAL_DATA:
        return this.target.answer.wantsData ? null : "no_data_wanted";
      case COM_CHANGE_USER:
        return again ? "not_judged" : this.changeUser(bytes, from, to);
      case COM_STMT_EXECUTE:
      case COM_STMT_BULK_EXECUTE:
      case COM_STMT_FETCH:
      case COM_STMT_SEND_LONG_DATA:
      case COM_STMT_RESET:
      case COM_STMT_CLOSE:
        return this.numberStatement(command, slot, bytes, from, to);
      default:
        return null;
    }
  }

  /** The target may be older than production: it does not know that a query can have attributes. */
  private dropAttributes(bytes: Uint8Array, from: number, to: number): Uint8Array | null {
    const count = this.state.attributesOf(bytes, from + HEADER, to);
    if (count === 0 || this.target.capabilities & CLIENT_QUERY_ATTRIBUTES) return null;
    if (from + HEADER + integer24(bytes, from) !== to) return null;
    return new Writer()
      .integer(COM_QUERY, 1)
      .put(bytes.subarray(from + HEADER + 1 + count, to))
      .packet(0);
  }

  /** Puts the target's number of a statement into a command. */
  private numberStatement(
    command: number,
    slot: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): Rewritten {
    const statement = this.state.statements.at(slot);
    if (!statement) return "unknown_statement";
    if (statement.target === 0) {
      if (command === COM_STMT_CLOSE) this.state.statements.forget(statement);
      return "failed_statement";
    }
    for (let i = 0; i < 4; i++) bytes[from + HEADER + 1 + i] = (statement.target >>> (8 * i)) & 0xff;
    if (command === COM_STMT_EXECUTE && statement.parameters > 0)
      return this.bind(statement, bytes, from, to);
    return null;
  }

  /**
   * Types of parameters are sent with the first execution only: they are kept, and put into an execution that has none where
   * the target has prepared the statement anew.
   */
  private bind(statement: Statement, bytes: Uint8Array, from: number, to: number): Rewritten {
    if (this.state.login!.capabilities & CLIENT_QUERY_ATTRIBUTES) return null;
    const at = from + HEADER + 10 + ((statement.parameters + 7) >> 3);
    const size = 2 * statement.parameters;
    if (at >= to) return null;
    if (bytes[at] === 1) {
      if (at + 1 + size > to) return null;
      statement.types = bytes.slice(at + 1, at + 1 + size);
      statement.needsTypes = false;
      return null;
    }
    if (!statement.needsTypes) return null;
    if (!statement.types || from + HEADER + integer24(bytes, from) !== to) return "no_parameter_types";
    statement.needsTypes = false;
    return new Writer()
      .put(bytes.subarray(from + HEADER, at))
      .integer(1, 1)
      .put(statement.types)
      .put(bytes.subarray(at + 1, to))
      .packet(0);
  }

  private changeUser(bytes: Uint8Array, from: number, to: number): Rewritten {
    const { state, target, common } = this;
    const change = readChangeUser(bytes, from + HEADER, to, state.login!.capabilities);
    const credentials = common.credentials(change.user, change.hasNoPassword);
    if (!credentials) return "no_password";
    const exchange = target.changeUser(credentials.password, common.config.skipGrant);
    const first = exchange.first();
    return writeChangeUser(change, target.capabilities, credentials.target, exchange.plugin, first);
  }
}
