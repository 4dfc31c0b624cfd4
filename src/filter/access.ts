/** Emits the loads of a filter program from the packet. R6 is the context, X the index; R0 to R5 are overwritten. */
import {
  ADD,
  ALU,
  ALU64,
  AND,
  type Assembler,
  JEQ,
  JGT,
  JMP,
  JMP32,
  JNE,
  type Label,
  LSH,
  MOV,
  OR,
  R0,
  R1,
  R2,
  R3,
  R4,
  R6,
  R9,
  R10,
  RSH,
  type Size,
  SUB,
} from "./assembler.ts";

/**
 * The hook: tc (clsact, tcx) with struct __sk_buff, or XDP with struct xdp_md; `xdp-linear` for kernels without
 * bpf_xdp_load_bytes (before 5.18), where a packet is always in one buffer.
 */
export type ProgramKind = "tc" | XdpProgram;

/** An XDP program can call only programs of its own kind. */
export type XdpProgram = "xdp" | "xdp-linear";

/** The index register of classic BPF. */
export const X = 8;

/** Loads reject the packet if it does not have the bytes, as bpf_filter() of libpcap does. */
export interface PacketAccess {
  /** `to` = the number of `size` bytes in network order at `offset` (32 bits). */
  absolute(to: number, offset: number, size: Size): void;
  /** `to` = the number of `size` bytes in network order at X + `offset`, where the sum does not overflow. */
  indexed(to: number, offset: number, size: Size): void;
  /** `to` = length of the packet in bytes. */
  length(to: number): void;
}

export interface Access extends PacketAccess {
  /** Emits the code for rare cases; to call once, after everything else. */
  finish(): void;
}

/** Stack offset below the 16 words of classic BPF's memory. */
const SCRATCH = -68;
/** Largest offset in an instruction. */
const MAX_OFFSET = 0x7fff;
/** Largest computed offset without a helper: the verifier allows none above 65535. */
const MAX_COMPUTED = 0xff00;
/** Bytes of an IPv4 header without options: the value of X in most cases. */
const USUAL_IP_HEADER = 20;

/** Helpers of the kernel (uapi/linux/bpf.h). */
const SKB_LOAD_BYTES = 26;
const XDP_GET_BUFF_LEN = 188;
const XDP_LOAD_BYTES = 189;

/** struct __sk_buff and struct xdp_md (uapi/linux/bpf.h). */
const SKB = { length: 0, vlanPresent: 20, vlanTci: 24, vlanProto: 28, data: 76, dataEnd: 80 };
const XDP = { data: 0, dataEnd: 4 };

/**
 * Loads at constant offsets read the packet directly. Of an skb they reach only the linear part (of TCP that a local program
 * sends these are only the headers). The rest, and what has a computed offset, is loaded by a helper of the kernel, which takes
 * ten times as long, except at XDP on kernels without that helper. The most common X is treated as a constant.
 *
 * The packet pointers are loaded again for each load: so the verifier's state does not depend on the path to a load, and it
 * checks each instruction once.
 */
export function packetAccess(assembler: Assembler, kind: ProgramKind, reject: Label): Access {
  const late: (() => void)[] = [];
  const context = kind === "tc" ? SKB : XDP;

  /** `to` = `size` bytes at packet offset R2 (64 bits), which is a variable: without the helper. */
  function loadLinear(to: number, size: Size): void {
    assembler.jumpImmediate(JMP | JGT, R2, MAX_COMPUTED, reject);
    assembler.load(4, R1, R6, context.data);
    assembler.load(4, R3, R6, context.dataEnd);
    assembler.register(ALU64 | ADD, R1, R2);
    assembler.register(ALU64 | MOV, R4, R1);
    assembler.immediate(ALU64 | ADD, R4, size);
    assembler.jumpRegister(JMP | JGT, R4, R3, reject);
    assembler.load(size, to, R1, 0);
  }

  /** `to` = `size` bytes at packet offset R2 (64 bits). */
  function loadByHelper(to: number, size: Size): void {
    if (kind === "xdp-linear") {
      loadLinear(to, size);
      return;
    }
    assembler.jumpImmediate(JMP | JGT, R2, 0x7fffffff, reject);
    assembler.register(ALU64 | MOV, R1, R6);
    assembler.register(ALU64 | MOV, R3, R10);
    assembler.immediate(ALU64 | ADD, R3, SCRATCH);
    assembler.immediate(ALU64 | MOV, R4, size);
    assembler.call(kind === "tc" ? SKB_LOAD_BYTES : XDP_LOAD_BYTES);
    assembler.jumpImmediate(JMP | JNE, R0, 0, reject);
    assembler.load(size, to, R10, SCRATCH);
  }

  function loadDirectly(to: number, offset: number, size: Size, outside: Label): void {
    assembler.load(4, R2, R6, context.data);
    assembler.load(4, R3, R6, context.dataEnd);
    assembler.register(ALU64 | MOV, R4, R2);
    assembler.immediate(ALU64 | ADD, R4, offset + size);
    assembler.jumpRegister(JMP | JGT, R4, R3, outside);
    assembler.load(size, to, R2, offset);
  }

  /** A label for bytes outside the linear part of an skb: code at the end loads them by the helper and jumps to `back`. */
  function elsewhere(to: number, offset: number, size: Size, back: Label): Label {
    const label = assembler.label();
    late.push(() => {
      assembler.place(label);
      assembler.immediate(ALU | MOV, R2, offset);
      loadByHelper(to, size);
      assembler.jump(back);
    });
    return label;
  }

  function absolute(to: number, offset: number, size: Size): void {
    const back = assembler.label();
    if (offset + size > MAX_OFFSET) {
      assembler.immediate(ALU | MOV, R2, Math.min(offset, 0xffffffff));
      loadByHelper(to, size);
    } else {
      loadDirectly(to, offset, size, kind === "tc" ? elsewhere(to, offset, size, back) : reject);
    }
    assembler.place(back);
    assembler.fromNetworkOrder(size, to);
  }

  return {
    absolute,
    indexed(to, offset, size) {
      const computed = assembler.label();
      const done = assembler.label();
      assembler.jumpImmediate(JMP32 | JNE, X, USUAL_IP_HEADER, computed);
      absolute(to, offset + USUAL_IP_HEADER, size);
      assembler.jump(done);
      assembler.place(computed);
      if (offset <= 0x7fffffff) {
        assembler.register(ALU64 | MOV, R2, X);
        assembler.immediate(ALU64 | ADD, R2, offset);
      } else {
        assembler.immediate(ALU | MOV, R2, offset);
        assembler.register(ALU64 | ADD, R2, X);
      }
      loadByHelper(to, size);
      assembler.fromNetworkOrder(size, to);
      assembler.place(done);
    },
    length(to) {
      if (kind === "tc") {
        assembler.load(4, to, R6, SKB.length);
      } else if (kind === "xdp-linear") {
        assembler.load(4, R2, R6, XDP.data);
        assembler.load(4, R0, R6, XDP.dataEnd);
        assembler.register(ALU64 | SUB, R0, R2);
        assembler.register(ALU64 | MOV, to, R0);
      } else {
        assembler.register(ALU64 | MOV, R1, R6);
        assembler.call(XDP_GET_BUFF_LEN);
        assembler.register(ALU64 | MOV, to, R0);
      }
    },
    finish() {
      for (const emit of late) emit();
    },
  };
}

/** Offset of an IEEE 802.1Q tag: after the MAC addresses. It has two bytes of type, and two of priority and VLAN. */
const TAG = 12;
const TAG_BYTES = 4;
const TAG_END = TAG + TAG_BYTES;

/** Jumps to `untagged` unless the kernel has removed a VLAN tag from the packet; else R9 = the tag, for `taggedAccess`. */
export function takeTag(assembler: Assembler, untagged: Label): void {
  assembler.load(4, R1, R6, SKB.vlanPresent);
  assembler.jumpImmediate(JMP | JEQ, R1, 0, untagged);
  assembler.load(4, R9, R6, SKB.vlanProto);
  assembler.fromNetworkOrder(2, R9);
  assembler.immediate(ALU | LSH, R9, 16);
  assembler.load(4, R1, R6, SKB.vlanTci);
  assembler.register(ALU | OR, R9, R1);
}

/** Access to the packet as it was on the wire: with the tag in R9 at its place. */
export function taggedAccess(assembler: Assembler, skb: PacketAccess): PacketAccess {
  function absolute(to: number, offset: number, size: Size): void {
    if (offset + size <= TAG) skb.absolute(to, offset, size);
    else if (offset >= TAG_END) skb.absolute(to, offset - TAG_BYTES, size);
    else if (offset >= TAG && offset + size <= TAG_END) {
      assembler.register(ALU | MOV, to, R9);
      assembler.immediate(ALU | RSH, to, (TAG_END - offset - size) * 8);
      if (size < 4) assembler.immediate(ALU | AND, to, size === 2 ? 0xffff : 0xff);
    } else {
      absolute(to, offset, 1);
      for (let next = 1; next < size; next++) {
        absolute(R0, offset + next, 1);
        assembler.immediate(ALU | LSH, to, 8);
        assembler.register(ALU | OR, to, R0);
      }
    }
  }

  return {
    absolute,
    indexed(to, offset, size) {
      const done = assembler.label();
      for (let at = offset; at < TAG_END; at++) {
        const next = assembler.label();
        assembler.jumpImmediate(JMP32 | JNE, X, at - offset, next);
        absolute(to, at, size);
        assembler.jump(done);
        assembler.place(next);
      }
      skb.indexed(to, offset - TAG_BYTES, size);
      assembler.place(done);
    },
    length(to) {
      skb.length(to);
      assembler.immediate(ALU | ADD, to, TAG_BYTES);
    },
  };
}
