/**
 * What the kernel programs cost a packet (BPF_PROG_TEST_RUN, in rounds that leave room in the rings): medians, ns.
 * usage: bun bench/kernel.ts
 */
import { testRun } from "../src/native/libbpf.ts";
import { ACK, build, type Frame, PSH } from "../test/bpf/build.ts";
import { loadForTest } from "../test/bpf/capture.ts";
import { type Figure, median, renderTable } from "./figures.ts";

const ROUNDS = 2000;
/** Records of one round, which the smallest ring has room for. */
const REPEAT = 100;
const PORT = 33000;

const REQUEST: Frame = { source: "10.0.0.1", destination: "10.0.0.2", sourcePort: 31000, flags: ACK | PSH };
const REQUEST6: Frame = { ...REQUEST, source: "fd00::1", destination: "fd00::2" };
const RESPONSE: Frame = { source: "10.0.0.9", destination: "10.0.0.2", sourcePort: 8080, flags: ACK };

const FRAMES: [name: string, program: "requestProgram" | "responseProgram", frame: Frame][] = [
  ["packet of another port", "requestProgram", { ...REQUEST, destinationPort: 81, payload: 200 }],
  ["pure ACK", "requestProgram", { ...REQUEST, flags: ACK }],
  ["request of 200 bytes", "requestProgram", { ...REQUEST, payload: 200 }],
  ["request of 1,400 bytes, IPv6", "requestProgram", { ...REQUEST6, payload: 1400 }],
  ["response", "responseProgram", { ...RESPONSE, destinationPort: PORT, payload: 1400 }],
];

/** ns of each frame, with so many workers. */
function measure(workers: number): number[] {
  const capture = loadForTest({ workers });
  capture.flows.add(0, PORT);
  const times = FRAMES.map(([, program, frame]) => {
    const { bytes } = build(frame);
    const measured = Array.from({ length: ROUNDS }, () => {
      capture.beat();
      const { nanoseconds } = testRun(capture.kernel[program], bytes, {}, REPEAT);
      capture.takeRequests();
      capture.takeResponses();
      return nanoseconds;
    });
    return median(measured);
  });
  capture.kernel.detach();
  return times;
}

const [one, several] = [measure(1), measure(4)];
const figures = FRAMES.map(
  ([name], index): Figure => ({
    name,
    value: `${one![index]} ns`,
    without: `${several![index]} ns`,
  }),
);
console.log("what the kernel programs cost a packet");
console.log(renderTable(figures, ["1 worker", "4 workers"]));
