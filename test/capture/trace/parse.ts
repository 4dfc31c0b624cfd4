/** Runs a parser over the bytes of a trace. */
import { Frame, TraceError } from "../../../src/capture/trace/frame.ts";
import { TraceParser } from "../../../src/capture/trace/parser.ts";
import { Window } from "../../../src/capture/trace/window.ts";

export interface Parsed {
  time: number;
  data: Uint8Array;
  length: number;
  linkType: number;
  interface: number;
}

/** What was delivered, and the error that ended it. */
export function parse(
  bytes: Uint8Array,
  chunks: number[] = [bytes.length],
): { packets: Parsed[]; error: TraceError | null } {
  const parser = new TraceParser(new Window(64));
  const frame = new Frame();
  const packets: Parsed[] = [];
  let at = 0;
  try {
    for (let turn = 0; at < bytes.length; turn++) {
      const size = Math.max(1, chunks[turn % chunks.length]!);
      parser.window.push(bytes.subarray(at, at + size));
      at += size;
      while (parser.next(frame)) {
        packets.push({
          time: frame.time,
          data: frame.bytes.slice(frame.start, frame.end),
          length: frame.length,
          linkType: frame.linkType,
          interface: frame.interface,
        });
      }
    }
    parser.finish();
    return { packets, error: null };
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    return { packets, error };
  }
}
