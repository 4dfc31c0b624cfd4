/** What the reader of traces is told at start, and what it says. Plain data: it crosses a postMessage. */
import type { KernelService } from "../services.ts";

/** A moment of the traces: us since 1970, or us after the first packet of all. */
export type Moment = { at: number } | { after: number };

export interface TraceOptions {
  /** Files, directories, or "-" for standard input. */
  paths: string[];
  /** Whose requests are read; without an address it is the port of every destination. */
  services: KernelService[];
  /** Of the IP header: IPPROTO_TCP. */
  protocol: number;
  /** How often all is read, at least once. */
  loops: number;
  /** Packets before and after are skipped; null: none. */
  start: Moment | null;
  end: Moment | null;
  /** Flows whose hash (0 to 2^32) is below are left out, as in bpf/record/record.h; 0: none. */
  leftOut: number;
  /** Bytes of the ring: a power of two, at least 2^19; 16 MB unless told. */
  ringBytes?: number;
  /** An eventfd that is written to when the consumer asks to be woken; -1: it never does. */
  wake: number;
}

/** What is known before anything is read. */
export interface TraceSummary {
  files: { path: string; bytes: number }[];
  /** Time of the first packet of all (us since 1970); Infinity if there is none. */
  firstTime: number;
}

/** The fields of a Failure. */
export interface TraceFailure {
  message: string;
  fix: string;
  exitCode: number;
}

/** What the worker says. */
export type FromTraceWorker =
  | { kind: "warning"; text: string }
  | { kind: "ready"; summary: TraceSummary }
  /** A file could not be read to its end; the others are read on. */
  | { kind: "broken"; failure: TraceFailure }
  | { kind: "ended" }
  /** It could not begin. */
  | { kind: "refused"; failure: TraceFailure }
  /** A mistake of ours. */
  | { kind: "failed"; message: string };
