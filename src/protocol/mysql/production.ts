/**
 * What production's server answers to a session, where it is captured: its numbers of prepared statements, errors, and how long
 * it took.
 */
import type { Account } from "./account.ts";
import type { Comparison } from "./comparison.ts";
import { Inflater } from "./compression.ts";
import { COM_STMT_PREPARE, ERR, hasNoAnswer, LOCAL_DATA, OK } from "./constants.ts";
import { HEADER } from "./packets.ts";
import { integer32 } from "./reader.ts";
import type { Statement, Statements } from "./statements.ts";

export class Production {
  /** The command without an answer: what it is (0: there is none), and its number, -1 if it was left out. */
  private command = 0;
  private number = -1;
  private statement: Statement | undefined;
  private capturedAt = 0;

  constructor(
    private readonly account: Account,
    private readonly comparison: Comparison,
    private readonly statements: Statements,
  ) {}

  /** The client has sent a command at `time`; `number`: among those that are for the target, else -1. */
  expect(command: number, number: number, statement: Statement | undefined, time: number): void {
    if (hasNoAnswer(command)) return;
    this.command = command;
    this.number = number;
    this.statement = statement;
    this.capturedAt = time;
  }

  /** Takes the beginning of a segment. */
  take(bytes: Uint8Array, from: number, to: number, isCompressed: boolean, time: number): void {
    const { command } = this;
    if (command === 0) return;
    // Of what is compressed only that is seen which was too short for it.
    if (isCompressed) from += Inflater.HEADER;
    const isFirst = to - from > HEADER && (bytes[from + 3] === 1 || command === LOCAL_DATA);
    if (!isFirst) return;
    const first = bytes[from + HEADER]!;
    this.command = 0;
    this.account.latency("production", time - this.capturedAt);
    if (command === COM_STMT_PREPARE && this.statement) {
      const isPrepared = first === OK && to - from >= HEADER + 5;
      this.statements.number(this.statement, isPrepared ? integer32(bytes, from + HEADER + 1) : 0);
    }
    if (this.number >= 0) this.comparison.answeredOnline(this.number, first === ERR);
  }
}
