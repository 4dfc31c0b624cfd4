/** BPF_PROG_TEST_RUN: a program runs in the kernel without a network. */
import { pointerTo } from "../libc.ts";
import { bpfFailure } from "./errors.ts";
import { lib, memory } from "./libbpf.ts";

/** The fields of struct __sk_buff that a test run may set. */
export interface TestContext {
  mark?: number;
  ifindex?: number;
  /** Bytes of payload of each segment of a GSO packet. */
  gsoSize?: number;
}

export interface TestRun {
  /** What the program returned, signed: -1 passes, 2 drops. */
  verdict: number;
  /** ns per run, averaged over `repeat` runs. */
  nanoseconds: number;
}

/**
 * Runs a tc program, or with `context` null an XDP program, `repeat` times on an Ethernet frame in the kernel. For tests.
 * Throws a Failure.
 */
export function testRun(
  programFd: number,
  frame: Uint8Array,
  context: TestContext | null = {},
  repeat = 1,
): TestRun {
  const skb = memory(192); // struct __sk_buff
  skb.setUint32(8, context?.mark ?? 0, true);
  skb.setUint32(40, context?.ifindex ?? 0, true);
  skb.setUint32(176, context?.gsoSize ?? 0, true);
  const skbBytes = new Uint8Array(skb.buffer);
  const input = new Uint8Array(new ArrayBuffer(frame.length));
  input.set(frame);
  const options = memory(80); // struct bpf_test_run_opts
  options.setBigUint64(0, 80n, true);
  pointerTo(options, 8, input);
  options.setUint32(24, input.length, true);
  if (context !== null) {
    pointerTo(options, 32, skbBytes);
    options.setUint32(48, skbBytes.length, true);
  }
  options.setInt32(60, repeat, true);
  const result = lib.bpf_prog_test_run_opts(programFd, new Uint8Array(options.buffer));
  if (result < 0) throw bpfFailure("run a BPF program for a test", -result);
  return { verdict: options.getInt32(56, true), nanoseconds: options.getUint32(64, true) };
}
