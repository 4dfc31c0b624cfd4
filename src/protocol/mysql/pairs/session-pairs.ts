/** What a session of the module does for its pairs: names of commands, and both sides of them. */
import type { PairSink } from "../../../pairs/pair.ts";
import type { Algorithm } from "../packets/compression.ts";
import { COM_QUIT, hasNoAnswer } from "../packets/constants.ts";
import { type Escapes, Naming } from "./naming.ts";
import { type Agreed, OnlinePairs } from "./online-pairs.ts";
import { type Origin, Pairing } from "./pairing.ts";

export class SessionPairs {
  readonly pairing: Pairing;
  readonly online: OnlinePairs;
  readonly naming: Naming;

  /** `agreed`: as in `OnlinePairs`; `isFramedAlike`: as in `Pairing`. */
  constructor(
    sink: PairSink,
    origin: Origin,
    escapes: Escapes,
    agreed: () => Agreed | null,
    isFramedAlike: () => boolean,
  ) {
    this.pairing = new Pairing(sink, origin, isFramedAlike);
    this.online = new OnlinePairs(this.pairing, escapes, agreed);
    this.naming = new Naming(escapes);
  }

  /**
   * A command was captured at `time` (us), when the client had read the server's stream to before `ack`. `number`: as of
   * `Comparison.capture`; -1: it is left out. `method`: its kind.
   */
  captured(
    command: number,
    number: number,
    method: string,
    name: string,
    time: number,
    ack: number,
    algorithm: Algorithm | null,
  ): void {
    if (hasNoAnswer(command)) {
      if (command === COM_QUIT) this.online.quit(ack);
      return;
    }
    let pair = null;
    if (number < 0) this.pairing.leftOut(method, name, time);
    else pair = this.pairing.captured(number, method, name, time);
    this.online.expect(command, pair, ack, algorithm);
  }

  close(): void {
    this.online.close();
    this.pairing.close();
  }
}
