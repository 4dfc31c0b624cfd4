/** The options and the messages of the thread that reads traces. Plain data: they cross a postMessage. */
import type { Failure } from "../../native/failure.ts";
import type { AnsweringService, KernelService } from "../services.ts";
import type { ClockStep } from "./timeline.ts";
import type { Sightings } from "./unmatched/unmatched.ts";

/** A time in the traces: us since 1970, or us after the first packet of all. */
export type Moment = { at: number } | { after: number };

export interface TraceOptions {
  /** Files, directories, or "-" for standard input. */
  paths: string[];
  /** The services whose requests are read; one without address stands for its port at every destination. */
  services: KernelService[];
  /** Those of them whose packets to clients are read too; default none. */
  answering?: AnsweringService[];
  /** By index of a service: a number of what its requests go to, the same for services with the same targets. */
  targets: number[];
  /** Protocol of the services without `transport: "udp"`: IPPROTO_TCP. */
  protocol: number;
  /** How often the traces are read, at least once. */
  loops: number;
  /** Packets before `start` and after `end` are skipped; null: no bound. */
  start: Moment | null;
  end: Moment | null;
  /** Flows whose hash (0 to 2^32 - 1) is below this are left out, as in bpf/record/record.h; 0: none. */
  leftOut: number;
  /** us of recorded time in which one pure ACK of each connection is read as a sign of life; default SIGN_SPAN. */
  signSpan?: number;
  /** Bytes of the ring: a power of two, at least 2^19; default 16 MiB. */
  ringBytes?: number;
  /** An eventfd that is written to when the consumer asks to be woken; -1: it never does. */
  wake: number;
}

/** What is known before the packets are read. */
export interface TraceSummary {
  files: { path: string; bytes: number }[];
  /** Time of the first packet of all (us since 1970); Infinity if there is none. */
  firstTime: number;
}

/** The fields of a Failure. */
export interface TraceFailure {
  message: string;
  fix: string;
  exitCode: Failure["exitCode"];
}

/** A clock that was set while a trace was made, or a longer way between two traces than anybody waits for. */
export interface TimeStep extends ClockStep {
  /** null: between two traces. */
  path: string | null;
}

/** The messages of the thread. */
export type FromTraceWorker =
  | { kind: "warning"; text: string }
  | { kind: "step"; step: TimeStep }
  | { kind: "ready"; summary: TraceSummary }
  /** A file could not be read to its end; the others are read on. */
  | { kind: "broken"; failure: TraceFailure }
  /** There was no packet to a service. */
  | { kind: "unmatched"; found: Sightings }
  | { kind: "ended" }
  /** Reading could not begin. */
  | { kind: "refused"; failure: TraceFailure }
  /** A bug of xcopy. */
  | { kind: "failed"; message: string };
