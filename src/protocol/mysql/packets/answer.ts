/** Follows the server's answer to one command, packet by packet, to its end. */
import {
  COM_CHANGE_USER,
  COM_FIELD_LIST,
  COM_STATISTICS,
  COM_STMT_FETCH,
  COM_STMT_PREPARE,
  EOF,
  ERR,
  LOCAL_INFILE,
  MOST_PAYLOAD,
  OK,
  STATUS_CURSOR_EXISTS,
  STATUS_MORE_RESULTS,
} from "./constants.ts";
import { Reader } from "./reader.ts";

/** Bytes of each packet's payload that are read; a length-encoded integer has at most 9. */
export const LOOK = 64;
/** The same where the messages of errors are wanted: marker, number, SQLSTATE and MYSQL_ERRMSG_SIZE. */
export const LOOK_AT_MESSAGES = 3 + 6 + 512;

const NOTHING = 0;
/** The first packet of an answer, or of a further result. */
const FIRST = 1;
const COLUMNS = 2;
const COLUMNS_END = 3;
const ROWS = 4;
/** PREPARE: definitions of parameters, and of columns. */
const PARAMETERS = 5;
const PREPARED_COLUMNS = 6;
/** The client's file is expected. */
const DATA = 7;

/** What the answer needs after a packet. */
export type Progress = "more" | "data wanted" | "done";

export class Answer {
  command = 0;
  isError = false;
  /** The error code, if the answer is an error. */
  code = 0;
  /** Rows of all results, and rows affected; -1 if there was neither. */
  count = -1;
  /** The status flags that it has ended with, if it is no error. */
  flags = 0;
  /** For COM_STMT_PREPARE: the statement's number, and how many parameters it has. */
  statement = 0;
  parameters = 0;
  private state = NOTHING;
  private definitions = 0;
  private columnsToCome = 0;

  /** Whether a command waits for its answer, or for the end of it. */
  get isOpen(): boolean {
    return this.state !== NOTHING;
  }

  get wantsData(): boolean {
    return this.state === DATA;
  }

  /** A command that has an answer is sent. */
  begin(command: number): void {
    this.command = command;
    this.isError = false;
    this.code = 0;
    this.count = -1;
    this.flags = 0;
    this.statement = 0;
    this.state = FIRST;
    if (command === COM_STMT_FETCH || command === COM_FIELD_LIST) {
      this.state = ROWS;
      this.count = 0;
    }
  }

  /** The client's file was sent; the answer goes on. */
  endData(): void {
    this.state = FIRST;
  }

  forget(): void {
    this.state = NOTHING;
  }

  /**
   * Takes a packet: `bytes` from `from` to `to` are the beginning of its payload of `length` bytes. `hasEofs`: the server ends
   * lists with EOF packets (no CLIENT_DEPRECATE_EOF). `cachesMetadata`: MariaDB may leave column definitions out.
   */
  take(
    bytes: Uint8Array,
    from: number,
    to: number,
    length: number,
    hasEofs: boolean,
    cachesMetadata: boolean,
  ): Progress {
    const first = length === 0 ? -1 : bytes[from]!;
    if (first === ERR && this.state !== COLUMNS) {
      this.isError = true;
      this.code = to - from >= 3 ? bytes[from + 1]! | (bytes[from + 2]! << 8) : 0;
      return this.end();
    }
    switch (this.state) {
      case FIRST:
        return this.takeFirst(bytes, from, to, length, first, hasEofs, cachesMetadata);
      case COLUMNS:
        if (--this.definitions === 0) this.state = hasEofs ? COLUMNS_END : ROWS;
        return "more";
      case COLUMNS_END:
        if (first === EOF && status(bytes, from, to, true) & STATUS_CURSOR_EXISTS) return this.end();
        this.state = ROWS;
        return "more";
      case ROWS:
        if (first !== EOF || (hasEofs ? length >= 9 : length >= MOST_PAYLOAD)) {
          this.count++;
          return "more";
        }
        return this.endResult(status(bytes, from, to, hasEofs || length < 7));
      case PARAMETERS:
      case PREPARED_COLUMNS:
        return this.takeDefinition(hasEofs);
      default:
        return "done";
    }
  }

  private takeFirst(
    bytes: Uint8Array,
    from: number,
    to: number,
    length: number,
    first: number,
    hasEofs: boolean,
    cachesMetadata: boolean,
  ): Progress {
    if (this.command === COM_STATISTICS || this.command === COM_CHANGE_USER) return this.end();
    if (this.command === COM_STMT_PREPARE) return this.takePrepared(bytes, from, to, hasEofs);
    if (first === OK || length === 0) {
      this.count = Math.max(0, this.count) + affectedRows(bytes, from, to);
      return this.endResult(status(bytes, from, to, false));
    }
    if (first === EOF && length < 9) return this.endResult(status(bytes, from, to, true));
    if (first === LOCAL_INFILE) {
      this.state = DATA;
      return "data wanted";
    }
    const reader = new Reader(bytes, from, to);
    this.definitions = reader.lengthEncoded();
    this.count = Math.max(0, this.count);
    // The next byte is 1 if the column definitions follow.
    const isLeftOut = cachesMetadata && reader.left > 0 && reader.integer(1) === 0;
    this.state = COLUMNS;
    if (isLeftOut) this.state = hasEofs ? COLUMNS_END : ROWS;
    return "more";
  }

  private takePrepared(bytes: Uint8Array, from: number, to: number, hasEofs: boolean): Progress {
    const reader = new Reader(bytes, from, to);
    reader.integer(1);
    this.statement = reader.integer(4);
    this.columnsToCome = reader.integer(2);
    this.parameters = reader.integer(2);
    this.definitions = 0;
    this.state = PARAMETERS;
    return this.nextDefinitions(this.parameters, hasEofs);
  }

  private nextDefinitions(count: number, hasEofs: boolean): Progress {
    // With EOFs each list that is not empty ends with one.
    this.definitions = count === 0 ? 0 : count + (hasEofs ? 1 : 0);
    if (this.definitions > 0) return "more";
    if (this.state === PREPARED_COLUMNS) return this.end();
    this.state = PREPARED_COLUMNS;
    return this.nextDefinitions(this.columnsToCome, hasEofs);
  }

  private takeDefinition(hasEofs: boolean): Progress {
    if (--this.definitions > 0) return "more";
    if (this.state === PREPARED_COLUMNS) return this.end();
    this.state = PREPARED_COLUMNS;
    return this.nextDefinitions(this.columnsToCome, hasEofs);
  }

  private endResult(flags: number): Progress {
    this.flags = flags;
    if (!(flags & STATUS_MORE_RESULTS)) return this.end();
    this.state = FIRST;
    return "more";
  }

  private end(): Progress {
    this.state = NOTHING;
    return "done";
  }
}

/** The status flags of an EOF packet, or of an OK packet; 0 where there are none. */
export function status(bytes: Uint8Array, from: number, to: number, isEof: boolean): number {
  if (isEof) return to - from >= 5 ? bytes[from + 3]! | (bytes[from + 4]! << 8) : 0;
  if (to - from < 3) return 0;
  const reader = new Reader(bytes, from + 1, to);
  reader.lengthEncoded();
  reader.lengthEncoded();
  return reader.left >= 2 ? reader.integer(2) : 0;
}

/** What an OK packet says. */
function affectedRows(bytes: Uint8Array, from: number, to: number): number {
  return to - from < 2 ? 0 : new Reader(bytes, from + 1, to).lengthEncoded();
}
