/**
 * Notices when nothing moves any more. However slow a machine is, the demo goes on as long as something moves; where a
 * process hangs it is given up.
 */
import { Failure } from "../native/failure.ts";

/** Looks in a row, one a second, that may find everything as it was. */
export const LIMIT = 30;
const FIX = "Try again with less running on this machine. If it stays so, please report it.";

/** What is waited for: what cannot be done without it, and what it lacks. */
export interface Awaited {
  /** "start", "finish". */
  aim: string;
  lack: string;
  /** What a process that has not started printed on standard error; it stands in place of the fix. */
  messages(): string;
}

/**
 * Counts looks and not time: while the demo itself stands still, because it is stopped or gets no CPU, none is counted, and
 * what the others did meanwhile is still unread.
 */
export class Watch {
  private seen: string | null = null;
  private still = 0;

  /** Call it once a second with all that can move, as text. Returns the error if that has been the same for too long. */
  look(state: string, { aim, lack, messages }: Awaited): Failure | null {
    this.still = state === this.seen ? this.still + 1 : 0;
    this.seen = state;
    if (this.still < LIMIT) return null;
    return new Failure(`Cannot ${aim} the demo: ${lack} for ${LIMIT} s`, messages().trim() || FIX, 1);
  }
}
