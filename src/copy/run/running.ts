/** What a copy is while it runs, for those who change it and those who talk to its user. */
import type { KernelCapture } from "../../capture/kernel/capture.ts";
import type { Log } from "../../host/log/log.ts";
import type { Status } from "../../host/log/status.ts";
import type { ServiceManager } from "../../host/manager/manager.ts";
import type { StopRequests } from "../../host/signals.ts";
import type { Reloaded } from "../../web/source.ts";
import type { Account } from "../account/account.ts";
import type { Answers } from "../answers.ts";
import type { Observer } from "../comparison/observer.ts";
import type { DataPlane } from "../data-plane/start.ts";
import type { RequestInput } from "../input.ts";
import type { CopyOptions } from "../options.ts";
import type { Plan } from "../plan.ts";
import type { WayFollower } from "../ways/follow.ts";

/** What a copy has open before it begins, and its caller closes. */
export interface Opened {
  /** Null: no programs of the kernel capture. */
  kernel: KernelCapture | null;
  answers: Answers;
  source: RequestInput;
  observer: Observer;
}

/** A copy that captures, for who changes it. */
export interface RunningCopy {
  /** What holds now; a change replaces them. */
  current: { options: CopyOptions; plan: Plan };
  plane: DataPlane;
  ways: WayFollower;
  source: RequestInput;
  answers: Answers;
  observer: Observer;
  /** Whether UDP services can be copied, also where none is now. */
  takesUdp: boolean;
  /** The words that all engines share: see src/engine/sessions/share.ts. */
  words: Int32Array;
  account(): Account;
  log: Log;
  manager: ServiceManager;
}

/** What changes a copy while it runs: see src/copy/reload. */
export interface Reloads {
  /** The copy's own in its configuration file; null: it has none. */
  readonly name: string | null;
  /** The process that runs it beside others of its file; null: none. */
  readonly parent: number | null;
  /** Files that it reads. */
  readonly reads: readonly string[];
  /** SIGHUP asks for it too. */
  readonly takesSignal: boolean;
  /** The copy captures: what was asked for before is done now. */
  begin(running: RunningCopy): void;
  /** Changes what is asked for; resolves when that is done, or refused. */
  reload(): Promise<Reloaded>;
  /** The copy ends. */
  end(): void;
}

/** The run's ways to its user: status line, log, stop signals, service manager. */
export interface Console {
  status: Status;
  log: Log;
  stop: StopRequests;
  manager: ServiceManager;
}

export const NOTHING_YET = "ended before the first request";
