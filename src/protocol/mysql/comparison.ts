/** Whether production and target have answered the same commands with OK or with an error; whichever answers first. */
import type { Account } from "./account.ts";

/** Commands that may wait for one of their answers; older ones are not compared. */
const WINDOW = 64;

const NONE = 0;
const IS_OK = 1;
const IS_ERROR = 2;

export class Comparison {
  private readonly online = new Uint8Array(WINDOW);
  private readonly target = new Uint8Array(WINDOW);
  /** The number of the command at each place. */
  private readonly numbers = new Int32Array(WINDOW).fill(-1);

  constructor(private readonly account: Account) {}

  /** Command `number` was captured. */
  begin(number: number): void {
    const at = number % WINDOW;
    this.numbers[at] = number;
    this.online[at] = NONE;
    this.target[at] = NONE;
  }

  answeredOnline(number: number, isError: boolean): void {
    if (isError) this.account.count("errorsInProduction");
    this.take(number, this.online, isError);
  }

  answeredAtTarget(number: number, isError: boolean): void {
    if (isError) this.account.count("errorsAtTarget");
    this.take(number, this.target, isError);
  }

  private take(number: number, side: Uint8Array, isError: boolean): void {
    const at = number % WINDOW;
    if (number < 0 || this.numbers[at] !== number || side[at] !== NONE) return;
    side[at] = isError ? IS_ERROR : IS_OK;
    const [online, target] = [this.online[at], this.target[at]];
    if (online === NONE || target === NONE) return;
    this.account.count("compared");
    if (online === IS_OK && target === IS_ERROR) this.account.count("errorsOnlyAtTarget");
    if (online === IS_ERROR && target === IS_OK) this.account.count("errorsOnlyInProduction");
  }
}
