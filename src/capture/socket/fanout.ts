/** Chooses the socket for a packet: `workerOfClient` of wire/shard.ts in classic BPF, for PACKET_FANOUT_CBPF. */
import {
  ADD,
  AND,
  ClassicAssembler,
  EQUAL,
  LOAD_BYTE,
  LOAD_HALF,
  LOAD_HALF_INDEXED,
  LOAD_MEMORY,
  LOAD_WORD,
  LOAD_X_HEADER,
  MULTIPLY,
  SHIFT_RIGHT,
  STORE_MEMORY,
  WITH_X,
  XOR,
} from "../../filter/classic-assembler.ts";
import { NETWORK } from "./filter.ts";

const UDP = 17;
const FRAGMENT = 44;

/** Words of the program's memory. */
const ADDRESS = 0;
const HASH = 1;

/** A program that returns the index of the worker, of so many, to which the client of a packet belongs. */
export function workerProgram(workers: number): Uint8Array {
  const program = new ClassicAssembler();
  const [isIp4, hasPort, hasNone] = [program.label(), program.label(), program.label()];
  const keep = (word: number) => program.emit(STORE_MEMORY, word);
  /** A = the word `operation` A. */
  const combine = (operation: number, word: number) => {
    program.copyToX();
    program.emit(LOAD_MEMORY, word);
    program.emit(operation | WITH_X);
  };

  program.emit(LOAD_BYTE, NETWORK);
  program.emit(SHIFT_RIGHT, 4);
  program.jumpIf(EQUAL, 4, isIp4);
  program.emit(LOAD_WORD, NETWORK + 8);
  for (const offset of [12, 16, 20]) {
    keep(ADDRESS);
    program.emit(LOAD_WORD, NETWORK + offset);
    combine(XOR, ADDRESS);
  }
  keep(ADDRESS);
  program.emit(LOAD_BYTE, NETWORK + 6);
  for (const protocol of [UDP, FRAGMENT]) program.jumpIf(EQUAL, protocol, hasNone);
  program.emit(LOAD_HALF, NETWORK + 40);
  program.jump(hasPort);
  program.place(isIp4);
  program.emit(LOAD_WORD, NETWORK + 12);
  keep(ADDRESS);
  program.emit(LOAD_BYTE, NETWORK + 9);
  program.jumpIf(EQUAL, UDP, hasNone);
  program.emit(LOAD_X_HEADER, NETWORK);
  program.emit(LOAD_HALF_INDEXED, NETWORK);
  program.jump(hasPort);
  // By the address alone: later fragments have no port, and need the same worker.
  program.place(hasNone);
  program.emit(AND, 0);
  program.place(hasPort);
  program.emit(MULTIPLY, 0x9e3779b1);
  keep(HASH);
  program.emit(LOAD_MEMORY, ADDRESS);
  combine(XOR, HASH);

  for (const [shift, factor] of [
    [16, 0x85ebca6b],
    [13, 0xc2b2ae35],
    [16, 1],
  ] as const) {
    keep(HASH);
    program.emit(SHIFT_RIGHT, shift);
    combine(XOR, HASH);
    program.emit(MULTIPLY, factor);
  }

  // hash * workers / 2^32, computed from the 16-bit halves of the hash.
  keep(HASH);
  program.emit(AND, 0xffff);
  program.emit(MULTIPLY, workers);
  program.emit(SHIFT_RIGHT, 16);
  keep(ADDRESS);
  program.emit(LOAD_MEMORY, HASH);
  program.emit(SHIFT_RIGHT, 16);
  program.emit(MULTIPLY, workers);
  combine(ADD, ADDRESS);
  program.emit(SHIFT_RIGHT, 16);
  program.returnA();
  return program.bytes();
}
