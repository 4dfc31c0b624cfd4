/** A thread that runs a program over frames, as the kernel would, while another reads the rings. */
import { openLibbpf } from "../../src/native/bpf/libbpf.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";

export interface Work {
  program: number;
  frames: Uint8Array[];
  /** Runs of each frame at a time, and how often all frames are run. */
  repeat: number;
  rounds: number;
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<Work>) => {
  openLibbpf();
  for (let round = 0; round < data.rounds; round++) {
    for (const frame of data.frames) testRun(data.program, frame, {}, data.repeat);
  }
  self.postMessage("done");
};
