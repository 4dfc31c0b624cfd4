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
import { NETWORK, PACKET_OUTGOING, PACKET_TYPE, UDP } from "./packet-fields.ts";

const FRAGMENT = 44;

/** Words of the program's memory. */
const ADDRESS = 0;
const HASH = 1;

/** Offsets of an end of the connection: of its address from the IPv4 and the IPv6 header, of its port from the TCP header. */
const SOURCE = { ip4: 12, ip6: 8, port: 0 };
const DESTINATION = { ip4: 16, ip6: 24, port: 2 };

/**
 * A program that returns the index of the worker, of so many, to which the client of a packet belongs: its source, or of what
 * leaves its destination, where `answersLeave`.
 */
export function workerProgram(workers: number, answersLeave = false): Uint8Array {
  const program = new ClassicAssembler();
  const [isAnswer, hasPort, hasNone] = [program.label(), program.label(), program.label()];
  const keep = (word: number) => program.emit(STORE_MEMORY, word);
  /** A = the word `operation` A. */
  const combine = (operation: number, word: number) => {
    program.copyToX();
    program.emit(LOAD_MEMORY, word);
    program.emit(operation | WITH_X);
  };
  /** ADDRESS = the client's address, 32 bits of it; A = its port. */
  const loadClient = ({ ip4, ip6, port }: typeof SOURCE) => {
    const isIp4 = program.label();
    program.emit(LOAD_BYTE, NETWORK);
    program.emit(SHIFT_RIGHT, 4);
    program.jumpIf(EQUAL, 4, isIp4);
    program.emit(LOAD_WORD, NETWORK + ip6);
    for (const offset of [4, 8, 12]) {
      keep(ADDRESS);
      program.emit(LOAD_WORD, NETWORK + ip6 + offset);
      combine(XOR, ADDRESS);
    }
    keep(ADDRESS);
    program.emit(LOAD_BYTE, NETWORK + 6);
    for (const protocol of [UDP, FRAGMENT]) program.jumpIf(EQUAL, protocol, hasNone);
    program.emit(LOAD_HALF, NETWORK + 40 + port);
    program.jump(hasPort);
    program.place(isIp4);
    program.emit(LOAD_WORD, NETWORK + ip4);
    keep(ADDRESS);
    program.emit(LOAD_BYTE, NETWORK + 9);
    program.jumpIf(EQUAL, UDP, hasNone);
    program.emit(LOAD_X_HEADER, NETWORK);
    program.emit(LOAD_HALF_INDEXED, NETWORK + port);
    program.jump(hasPort);
  };

  if (answersLeave) {
    program.emit(LOAD_WORD, PACKET_TYPE);
    program.jumpIf(EQUAL, PACKET_OUTGOING, isAnswer);
  }
  loadClient(SOURCE);
  program.place(isAnswer);
  if (answersLeave) loadClient(DESTINATION);
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
