/**
 * The captured answers of production's server to one session: numbers of prepared statements, errors, and latency.
 */
import type { Account } from "./account.ts";
import type { Comparison } from "./comparison.ts";
import { type Algorithm, beginningOf } from "./packets/compression.ts";
import { COM_CHANGE_USER, COM_STMT_PREPARE, ERR, hasNoAnswer, OK, PROGRESS } from "./packets/constants.ts";
import { HEADER } from "./packets/packets.ts";
import { integer32 } from "./packets/reader.ts";
import type { Statement, Statements } from "./statements.ts";

export class Production {
  /** The command that waits for its answer (0: none), and its number, -1 if it was left out. */
  private command = 0;
  private number = -1;
  private statement: Statement | undefined;
  private capturedAt = 0;
  /** Progress reports before the answer; each has a sequence number. */
  private reports = 0;

  constructor(
    private readonly account: Account,
    private readonly comparison: Comparison,
    private readonly statements: Statements,
  ) {}

  /** The client has sent a command at `time` (us); `number`: of the command (`Comparison.capture`), -1 if it is left out. */
  expect(command: number, number: number, statement: Statement | undefined, time: number): void {
    if (hasNoAnswer(command)) return;
    this.command = command;
    this.number = number;
    this.statement = statement;
    this.capturedAt = time;
    this.reports = 0;
  }

  /**
   * Takes the first bytes of a segment. `number`: the sequence number of the answer's first packet, or of its first frame.
   * `algorithm`: the compression of the session, or null.
   */
  take(
    bytes: Uint8Array,
    from: number,
    to: number,
    number: number,
    algorithm: Algorithm | null,
    time: number,
  ): void {
    const { command } = this;
    // A segment from before the command: captures of other CPUs may come late.
    if (command === 0 || time < this.capturedAt || to - from <= HEADER) return;
    // The answers to COM_CHANGE_USER have later numbers, if the exchange takes several packets.
    if (bytes[from + 3] !== ((number + this.reports) & 0xff) && command !== COM_CHANGE_USER) return;
    if (algorithm) {
      const content = beginningOf(algorithm, bytes, from, to);
      if (content !== null) this.takeAnswer(content, 0, content.length, time);
    } else this.takeAnswer(bytes, from, to, time);
  }

  private takeAnswer(bytes: Uint8Array, from: number, to: number, time: number): void {
    const { command } = this;
    if (to - from <= HEADER) return;
    const first = bytes[from + HEADER]!;
    if (command === COM_CHANGE_USER && first !== OK && first !== ERR) return;
    if (first === ERR && to - from >= HEADER + 3) {
      const code = bytes[from + HEADER + 1]! | (bytes[from + HEADER + 2]! << 8);
      if (code === PROGRESS) {
        this.reports++;
        return;
      }
    }
    this.command = 0;
    this.account.latency("production", time - this.capturedAt);
    if (command === COM_STMT_PREPARE && this.statement) {
      const isPrepared = first === OK && to - from >= HEADER + 5;
      this.statements.number(this.statement, isPrepared ? integer32(bytes, from + HEADER + 1) : 0);
    }
    if (this.number >= 0) this.comparison.answeredOnline(this.number, first === ERR);
  }
}
