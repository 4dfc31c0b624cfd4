/** A filter in the kernel, as the tests of it ask it: does it match this packet? */
import type { Filter } from "../../src/filter/compile.ts";
import { type FilterProgram, loadFilterProgram } from "../../src/filter/program.ts";
import type { ProgramKind } from "../../src/filter/translate.ts";
import { loadProgram, openLibbpf, testRun } from "../../src/native/libbpf.ts";

/** TC_ACT_SHOT and XDP_DROP: what a match comes to here. */
export const DROP: Record<ProgramKind, number> = { tc: 2, xdp: 1 };
export const PASS: Record<ProgramKind, number> = { tc: -1, xdp: 2 };

/** Bytes of struct bpf_insn: code, registers, offset, immediate. */
export function instruction(code: number, registers: number, offset: number, immediate: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint8(0, code);
  view.setUint8(1, registers);
  view.setInt16(2, offset, true);
  view.setInt32(4, immediate, true);
  return new Uint8Array(view.buffer);
}

/** A program that returns `value`. */
export function constantProgram(kind: ProgramKind, value: number): number {
  openLibbpf();
  const bytes = Uint8Array.from([...instruction(0xb7, 0, 0, value), ...instruction(0x95, 0, 0, 0)]);
  return loadProgram(kind, "constant", bytes);
}

export const TARGETS: Record<ProgramKind, number> = {
  tc: constantProgram("tc", DROP.tc),
  xdp: constantProgram("xdp", DROP.xdp),
};

export function inFrontOfDrop(kind: ProgramKind, filter: Filter): FilterProgram {
  return loadFilterProgram({ kind, ...filter, target: TARGETS[kind] });
}

export function matches(kind: ProgramKind, program: FilterProgram, packet: Uint8Array): boolean {
  const { verdict } = testRun(program.fd, packet, kind === "tc" ? {} : null);
  if (verdict !== DROP[kind] && verdict !== PASS[kind]) throw new Error(`The filter returned ${verdict}`);
  return verdict === DROP[kind];
}
