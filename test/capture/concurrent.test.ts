/** A BPF ring that is read while the kernel writes to it. */
import { expect, test } from "bun:test";
import type { Packet } from "../../src/wire/packet.ts";
import { build } from "../bpf/build.ts";
import { loadForTest } from "../bpf/capture.ts";
import type { Work } from "./producer.ts";

const SIZES = [1, 90, 300, 1448, 3500];
const REPEAT = 200;
const ROUNDS = 200;

test("every record that is written while we read is read once, and whole", async () => {
  const { kernel, requests, beat } = loadForTest({ requestRingBytes: 1 << 18 });
  const worker = new Worker(`${import.meta.dir}/producer.ts`);
  try {
    let done = false;
    const ended = new Promise<void>((resolve, reject) => {
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.onmessage = () => {
        done = true;
        resolve();
      };
    });
    const frames = SIZES.map((payload) => build({ payload }));
    const hashes = new Map(frames.map(({ ip }) => [ip.length, Bun.hash(ip)]));
    let whole = 0;
    let broken = 0;
    const sink = (packet: Packet): void => {
      const bytes = packet.bytes.subarray(packet.ip, packet.end);
      if (packet.length === bytes.length - 40 && Bun.hash(bytes) === hashes.get(bytes.length)) whole++;
      else broken++;
    };
    beat();
    const work: Work = {
      program: kernel.requestProgram,
      frames: frames.map(({ bytes }) => bytes),
      repeat: REPEAT,
      rounds: ROUNDS,
    };
    worker.postMessage(work);
    while (!done) {
      beat();
      for (let turn = 0; turn < 100; turn++) requests.drain(sink, 256);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    while (requests.drain(sink, 256) > 0);
    const { requestsCaptured, requestRingFull } = kernel.stats();
    expect(broken).toBe(0);
    expect(whole).toBe(requestsCaptured);
    expect(requestsCaptured + requestRingFull).toBe(SIZES.length * REPEAT * ROUNDS);
    expect(requestsCaptured).toBeGreaterThan(1000);
  } finally {
    worker.terminate();
    kernel.detach();
  }
});
