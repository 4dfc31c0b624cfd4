/** A filter in the kernel, as the tests of it ask it: does it match this packet? */

import type { ProgramKind } from "../../src/filter/access.ts";
import { ALU64, Assembler, MOV, R0, R1, R2, R3, R6 } from "../../src/filter/assembler.ts";
import type { Filter } from "../../src/filter/compile.ts";
import { type FilterProgram, loadFilterProgram } from "../../src/filter/program.ts";
import { createProgramArray, setProgram } from "../../src/native/bpf/create-map.ts";
import { openLibbpf } from "../../src/native/bpf/libbpf.ts";
import { loadProgram } from "../../src/native/bpf/program.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { libc } from "../../src/native/libc.ts";

/** TC_ACT_SHOT and XDP_DROP: what a match comes to here. */
export const DROP: Record<ProgramKind, number> = { tc: 2, xdp: 1, "xdp-linear": 1 };
export const PASS: Record<ProgramKind, number> = { tc: -1, xdp: 2, "xdp-linear": 2 };

/** A program that returns `value`. */
export function constantProgram(
  kind: ProgramKind,
  value: number,
  attachType: "xdp" | "none" = "none",
): number {
  openLibbpf();
  const assembler = new Assembler();
  assembler.immediate(ALU64 | MOV, R0, value);
  assembler.exit();
  return loadProgram(kind === "tc" ? "tc" : "xdp", "constant", assembler.bytes(), attachType);
}

export const TARGETS: Record<ProgramKind, number> = {
  tc: constantProgram("tc", DROP.tc),
  xdp: constantProgram("xdp", DROP.xdp),
  "xdp-linear": constantProgram("xdp-linear", DROP["xdp-linear"]),
};

export function inFrontOfDrop(kind: ProgramKind, filter: Filter): FilterProgram {
  return loadFilterProgram({ kind, ...filter, target: TARGETS[kind] });
}

export function matches(kind: ProgramKind, program: { fd: number }, packet: Uint8Array): boolean {
  const { verdict } = testRun(program.fd, packet, kind === "tc" ? {} : null);
  if (verdict !== DROP[kind] && verdict !== PASS[kind]) throw new Error(`The filter returned ${verdict}`);
  return verdict === DROP[kind];
}

const VLAN_PUSH = 18;
const TAIL_CALL = 12;

/** `program` behind one that gives the packet a VLAN tag as network cards do: beside the packet, not in it. */
export function behindTag(program: number, type: number, tci: number): { fd: number; close(): void } {
  const array = createProgramArray();
  const assembler = new Assembler();
  assembler.register(ALU64 | MOV, R6, R1);
  assembler.immediate(ALU64 | MOV, R2, ((type & 0xff) << 8) | (type >> 8));
  assembler.immediate(ALU64 | MOV, R3, tci);
  assembler.call(VLAN_PUSH);
  assembler.register(ALU64 | MOV, R1, R6);
  assembler.map(R2, array);
  assembler.immediate(ALU64 | MOV, R3, 0);
  assembler.call(TAIL_CALL);
  assembler.immediate(ALU64 | MOV, R0, 99);
  assembler.exit();
  const fd = loadProgram("tc", "tag", assembler.bytes());
  if (setProgram(array, program) !== 0) throw new Error("Cannot put the filter behind the tag");
  return { fd, close: () => [fd, array].forEach((each) => void libc.close(each)) };
}
