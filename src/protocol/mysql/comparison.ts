/** Compares whether production and target answered the same command with OK or with an error, in either order. */
import type { Account } from "./account.ts";

/** Commands that may wait for one of their answers, at first and at most (powers of two); older ones are not compared. */
const FIRST_WINDOW = 32;
const MOST = 16384;

// What is known of a command, from both sides.
const ONLINE_OK = 1;
const ONLINE_ERROR = 2;
const TARGET_OK = 4;
const TARGET_ERROR = 8;

export class Comparison {
  private known = new Uint8Array(FIRST_WINDOW);
  /** Number of the next command to be captured, and of the next to be sent. */
  private end = 0;
  private next = 0;

  constructor(private readonly account: Account) {}

  /** A command that is not left out was captured; returns its number, one more than that of the last. */
  capture(): number {
    if (this.end - this.next + 1 >= this.known.length && this.known.length < MOST) this.grow();
    this.known[this.end % this.known.length] = 0;
    return this.end++;
  }

  /** Commands that were captured and neither sent nor skipped. */
  get waiting(): number {
    return this.end - this.next;
  }

  /** The next command is sent or skipped; returns its number. */
  begin(): number {
    return this.next++;
  }

  /** The commands that wait were dropped. */
  forgetWaiting(): void {
    this.next = this.end;
  }

  answeredOnline(number: number, isError: boolean): void {
    if (isError) this.account.count("errorsInProduction");
    this.take(number, isError ? ONLINE_ERROR : ONLINE_OK, ONLINE_OK | ONLINE_ERROR);
  }

  /** True if it is an error, and production is known to have answered OK. */
  answeredAtTarget(number: number, isError: boolean): boolean {
    if (isError) this.account.count("errorsAtTarget");
    return this.take(number, isError ? TARGET_ERROR : TARGET_OK, TARGET_OK | TARGET_ERROR);
  }

  private grow(): void {
    const grown = new Uint8Array(2 * this.known.length);
    for (let number = Math.max(0, this.end - this.known.length); number < this.end; number++) {
      grown[number % grown.length] = this.known[number % this.known.length]!;
    }
    this.known = grown;
  }

  /** Notes an answer; true if both answers are known now, and only the target's is an error. */
  private take(number: number, what: number, side: number): boolean {
    if (number < 0 || number >= this.end || number < this.end - this.known.length) return false;
    const at = number % this.known.length;
    if (this.known[at]! & side) return false;
    this.known[at]! |= what;
    switch (this.known[at]) {
      case ONLINE_OK | TARGET_ERROR:
        this.account.count("errorsOnlyAtTarget");
        break;
      case ONLINE_ERROR | TARGET_OK:
        this.account.count("errorsOnlyInProduction");
        break;
      case ONLINE_OK | TARGET_OK:
      case ONLINE_ERROR | TARGET_ERROR:
        break;
      default:
        return false;
    }
    this.account.count("compared");
    return this.known[at] === (ONLINE_OK | TARGET_ERROR);
  }
}
