/** Rewrites the client's commands for the target: statement numbers, query attributes, COM_CHANGE_USER. */
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

/** Why the command is left out; or the packet to be sent instead; null: the packet itself, which may be changed in place. */
export type Rewritten = Reason | Uint8Array | null;

export class Rewriting {
  constructor(
    private readonly common: Common,
    private readonly state: SessionState,
    private readonly target: TargetConnection,
  ) {}

  /**
   * `bytes` from `from` to `to`: the packet, or its beginning. `again`: it was rewritten before, and may have been changed for
   * a connection that is gone.
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

  /** Removes the query attributes if the target does not support them (it is older than production). */
  private dropAttributes(bytes: Uint8Array, from: number, to: number): Uint8Array | null {
    const count = this.state.attributesOf(bytes, from + HEADER, to);
    if (count === 0 || this.target.capabilities & CLIENT_QUERY_ATTRIBUTES) return null;
    if (from + HEADER + integer24(bytes, from) !== to) return null;
    return new Writer()
      .integer(COM_QUERY, 1)
      .put(bytes.subarray(from + HEADER + 1 + count, to))
      .packet(0);
  }

  /** Replaces production's number of a statement by the target's. */
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
   * Clients send the types of the parameters with the first execution only. They are kept, and inserted into a later execution
   * if the target has prepared the statement again since.
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
