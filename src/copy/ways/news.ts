/** What the user is told of ways that lead elsewhere, with what became of their connections in all data planes. */
import { formatAddress } from "../../config/address.ts";
import { describeWay, type KnownWay } from "./judge.ts";
import type { WaysTaken } from "./take.ts";

/** ms that the data planes have to take what was published, until it is told without their counts. */
const TAKING = 1000;

/** A way of which something may be told. */
export interface NewsWay extends KnownWay {
  /** performance.now() when it was held; 0: it is not. */
  since: number;
  /** Whether the user was told that it is gone. */
  isTold: boolean;
}

interface News<W> {
  version: number;
  way: W;
  text: string;
  kept: number;
  ended: number;
  /** Data planes that have not taken it yet. */
  left: number;
}

export class WayNews<W extends NewsWay> {
  /** That of what was published last. */
  version = 0;
  private all: News<W>[] = [];

  /** `workers`: how many data planes there are. */
  constructor(
    private readonly workers: number,
    private readonly info: (text: string) => void,
  ) {}

  /** A way is there again, or (`isMoved`) leads elsewhere; it is published next. `now`: performance.now(). */
  announce(way: W, isMoved: boolean, now: number): void {
    const seconds = Math.round((now - way.since) / 1000);
    const again = way.isTold && way.since > 0 ? ` again after ${seconds} s` : isMoved ? " now" : "";
    this.all = this.all.filter((one) => one.way !== way);
    this.all.push({
      version: this.version + 1,
      way,
      text: `${formatAddress(way.target)} is reached by ${describeWay(way)}${again}`,
      kept: 0,
      ended: 0,
      left: this.workers,
    });
    setTimeout(() => this.tell(true), TAKING).unref();
  }

  /** A data plane has taken what was published; `wayOf`: the way of a number. */
  takeReport({ version, moved }: WaysTaken, wayOf: (number: number) => W | undefined): void {
    for (const one of this.all) {
      if (one.version > version) continue;
      for (const { way, kept, ended } of moved) {
        if (wayOf(way) !== one.way) continue;
        one.kept += kept;
        one.ended += ended;
      }
      one.left--;
    }
    this.tell();
  }

  /** Says what every data plane has taken; `anyway`: also what some have not. */
  tell(anyway = false): void {
    const isReady = ({ left, version }: News<W>) => left <= 0 || (anyway && version <= this.version);
    const ready = this.all.filter(isReady);
    this.all = this.all.filter((one) => !isReady(one));
    for (const { text, kept, ended } of ready) {
      const parts = [
        kept > 0 && `${kept} connections go on`,
        ended > 0 && `${ended} connections from the address before are opened anew`,
      ];
      this.info([text, ...parts.filter(Boolean)].join("; "));
    }
  }
}
