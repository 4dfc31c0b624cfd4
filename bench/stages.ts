/**
 * Measures the stages of the data path one by one: the kernel program per packet, the ring per record, the injector per packet
 * compared with the same sendmmsg without an injector. usage: bun bench/stages.ts [--quick]
 */
import { createNetwork, inNamespace } from "../src/demo/network.ts";
import { outgoingProgram } from "../src/host/carried-programs.ts";
import { testRun } from "../src/native/bpf/test-run.ts";
import { WHOLE } from "../src/wire/prefix.ts";
import { ACK, build, type Frame, PSH, SYN } from "../test/bpf/build.ts";
import { loadForTest, OPTIONS, type TestCapture } from "../test/bpf/capture.ts";
import { type Figure, median, renderTable, spread } from "./figures.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 3 : 9;
/** All captured packets of a run fit into a ring of this size. */
const RING_BYTES = 1 << 26;
/** The same for the outgoing program. */
const SENT_RING_BYTES = 1 << 22;
const OUR_PORT = 33_000;
/** Responses whose headers fit into the smallest ring. */
const RESPONSES = 400;
const SENT = { source: "10.0.0.2", destination: "10.0.0.1", sourcePort: 80, destinationPort: 50_000 };
const HEADS = { bytes: 512, takesHeads: true };
const head = (bytes: number) => "HTTP/1.1 200 OK\r\n".padEnd(bytes, "x");
const nanoseconds = (value: number) => `${value.toFixed(0)} ns`;

/** ns per packet of one kind that the request program only passes. */
function measurePassed(capture: TestCapture, frame: Frame): number[] {
  const { bytes } = build(frame);
  return Array.from({ length: runs }, () => {
    capture.beat();
    return testRun(capture.kernel.requestProgram, bytes, {}, 1_000_000).nanoseconds;
  });
}

/** ns per packet that is captured. */
function measureCaptured(capture: TestCapture, frame: Frame): number[] {
  const { bytes } = build({ destinationPort: 80, flags: PSH | ACK, ...frame });
  const repeat = Math.floor(RING_BYTES / (bytes.length + 100) / 2);
  return Array.from({ length: runs }, () => {
    capture.beat();
    const { nanoseconds } = testRun(capture.kernel.requestProgram, bytes, {}, repeat);
    while (capture.requests.drain(() => {}, 4096) > 0);
    return nanoseconds;
  });
}

/** ns per response of a flow of ours, which is captured and dropped. */
function measureResponse(capture: TestCapture): number[] {
  capture.flows.add(0, OUR_PORT);
  const frame = { source: "10.0.0.9", destination: "10.0.0.2", sourcePort: 8080, destinationPort: OUR_PORT };
  const { bytes } = build({ ...frame, flags: ACK, payload: 1400 });
  return Array.from({ length: runs }, () => {
    capture.beat();
    const { nanoseconds } = testRun(capture.kernel.responseProgram, bytes, {}, RESPONSES);
    while (capture.responses.drain(() => {}, 4096) > 0);
    return nanoseconds;
  });
}

/** Loads the outgoing program: of the service at port 80 it captures heads, of that at 8080 all. */
function loadAnswering(): TestCapture {
  const outgoingServices = OPTIONS.services.map((service) => {
    return { ...service, payload: service.port === 80 ? HEADS : WHOLE };
  });
  const outgoingObject = outgoingProgram();
  return loadForTest({ requestRingBytes: SENT_RING_BYTES, outgoingObject, outgoingServices });
}

/** ns per packet that a service sends, of which `captured` bytes of the payload are captured. */
function measureSent(capture: TestCapture, captured: number, frame: Frame): number[] {
  const { bytes } = build({ ...SENT, flags: PSH | ACK, ...frame });
  const repeat = captured > 0 ? Math.floor(SENT_RING_BYTES / (captured * 2 + 200)) : 1_000_000;
  const run = () => {
    capture.beat();
    const { nanoseconds } = testRun(capture.kernel.outgoingProgram, bytes, {}, repeat);
    while (capture.requests.drain(() => {}, 4096) > 0);
    return nanoseconds;
  };
  // The first use of a ring's memory costs more.
  for (let time = 0; time < 3; time++) run();
  return Array.from({ length: runs }, run);
}

/** ns per record that is read in place and looked at. */
function measureRing(capture: TestCapture): number[] {
  let seq = 1;
  let sum = 0;
  return Array.from({ length: runs + 3 }, () => {
    let read = 0;
    let took = 0;
    for (let fill = 0; fill < 10; fill++) {
      for (let packet = 0; packet < 1500; packet++) {
        capture.beat();
        const { bytes } = build({ destinationPort: 80, seq, flags: PSH | ACK, payload: 200 });
        seq += 200;
        testRun(capture.kernel.requestProgram, bytes, {}, 1);
      }
      const began = Bun.nanoseconds();
      read += capture.requests.drain((packet) => {
        sum += packet.length;
      }, 4096);
      took += Bun.nanoseconds() - began;
    }
    if (sum === 0) throw new Error("Cannot measure: nothing was read");
    return took / read;
  }).slice(3);
}

/** us of CPU per packet of the injector and of sendmmsg alone, in turn; in a process of its own in the namespace. */
function measureInjection(namespace: string): { injector: number[]; bare: number[] } {
  const words = [process.execPath, `${import.meta.dir}/injection.ts`, `${runs}`];
  const done = Bun.spawnSync(inNamespace(namespace, words));
  if (done.exitCode !== 0) throw new Error(`Cannot measure: ${done.stderr}`);
  return JSON.parse(done.stdout.toString());
}

const figures: Figure[] = [];
const several = loadForTest({ requestRingBytes: RING_BYTES, workers: 4 });
const ofSeveral = measureCaptured(several, { payload: 200 });
several.kernel.detach();
const capture = loadForTest({ requestRingBytes: RING_BYTES });
const answering = loadAnswering();
try {
  const rows: [name: string, samples: number[], aim: string][] = [
    ["program: TCP to another port", measurePassed(capture, { destinationPort: 22, payload: 100 }), "60 ns"],
    [
      "program: TCP to another port, IPv6",
      measurePassed(capture, {
        source: "fd00::1",
        destination: "fd00::2",
        destinationPort: 22,
        payload: 100,
      }),
      "60 ns",
    ],
    ["program: UDP", measurePassed(capture, { protocol: 17, payload: 100 }), "60 ns"],
    [
      "program: a pure ACK that stays in the kernel",
      measurePassed(capture, { destinationPort: 80, flags: ACK }),
      "",
    ],
    ["program: a request of 200 bytes, captured", measureCaptured(capture, { payload: 200 }), "250 ns"],
    ["  for one of 4 workers", ofSeveral, ""],
    ["program: 1,448 bytes, captured", measureCaptured(capture, { payload: 1448 }), "250 ns + copy"],
    ["program: 3,000 bytes, captured", measureCaptured(capture, { payload: 3000 }), "250 ns + copy"],
    ["program: a SYN, captured", measureCaptured(capture, { flags: SYN, payload: 0 }), ""],
    ["program: a response to a connection of ours", measureResponse(capture), ""],
    ["outgoing: TCP from another port", measureSent(answering, 0, { sourcePort: 22, payload: 100 }), "60 ns"],
    ["outgoing: a pure ACK", measureSent(answering, 0, { flags: ACK }), ""],
    ["outgoing: 1,448 bytes, 512 of them captured", measureSent(answering, 512, { payload: 1448 }), "250 ns"],
    ["outgoing: a head of 1,448 bytes, captured", measureSent(answering, 1448, { payload: head(1448) }), ""],
    [
      "outgoing: 1,448 bytes, captured",
      measureSent(answering, 1448, { sourcePort: 8080, payload: 1448 }),
      "",
    ],
    ["ring: a record, read in place", measureRing(capture), ""],
  ];
  for (const [name, samples, aim] of rows) {
    figures.push({ name, value: nanoseconds(median(samples)), spread: spread(samples, nanoseconds), aim });
  }
} finally {
  capture.kernel.detach();
  answering.kernel.detach();
}

const network = createNetwork();
try {
  const { injector, bare } = measureInjection(network.online);
  const microseconds = (value: number) => `${value.toFixed(2)} us`;
  figures.push({
    name: "injection: a packet of 240 bytes, in batches of 64",
    value: microseconds(median(injector)),
    spread: spread(injector, microseconds),
    without: microseconds(median(bare)),
    ratio: median(injector) / median(bare),
  });
} finally {
  network.remove();
}
console.log(`the stages, medians of ${runs} runs\n\n${renderTable(figures, ["xcopy", "bare sendmmsg"])}`);
