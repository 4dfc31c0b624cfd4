/** How a filter program gets at the bytes of a packet. R6 is the context, X the index; R0 to R5 are lost. */
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
} from "./assembler.ts";

/** The index register of classic BPF. */
export const X = 8;

/** All of these reject the packet if it does not have the bytes, as bpf_filter() of libpcap does. */
export interface PacketAccess {
  /** `to` = the number in network order at byte `offset`, of 32 bits. */
  absolute(to: number, offset: number, size: Size): void;
  /** `to` = the number in network order at byte X + `offset`, without overflow. */
  indexed(to: number, offset: number, size: Size): void;
  /** `to` = bytes of the packet. */
  length(to: number): void;
}

export interface Access extends PacketAccess {
  /** Emits what is off the usual way; once, behind everything else. */
  finish(): void;
}

/** Stack below the 16 words of classic BPF's memory. */
const SCRATCH = -68;
/** What an instruction can have as offset. */
const MAX_OFFSET = 0x7fff;
/** Bytes of an IPv4 header without options: what X is nearly always. */
const USUAL_IP_HEADER = 20;

/** Helpers of the kernel (uapi/linux/bpf.h). */
const SKB_LOAD_BYTES = 26;
const XDP_GET_BUFF_LEN = 188;
const XDP_LOAD_BYTES = 189;

/** struct __sk_buff and struct xdp_md (uapi/linux/bpf.h). */
const SKB = { length: 0, vlanPresent: 20, vlanTci: 24, vlanProto: 28, data: 76, dataEnd: 80 };
const XDP = { data: 0, dataEnd: 4 };

/**
 * Loads at constant offsets read the packet itself. Of an skb only a part may be there (TCP that a local program sends has
 * nothing but its headers); the rest, and what has a computed offset, is loaded by a helper of the kernel, which takes ten
 * times as long: a packet pointer plus a variable would need CAP_PERFMON. The most usual X is taken as a constant.
 *
 * The packet pointers are loaded anew for each load: the verifier then knows nothing that depends on the way here, and
 * looks at each instruction once.
 */
export function packetAccess(assembler: Assembler, kind: "tc" | "xdp", reject: Label): Access {
  const late: (() => void)[] = [];
  const context = kind === "tc" ? SKB : XDP;

  /** `to` = `size` bytes at packet offset R2, of 64 bits. */
  function loadByHelper(to: number, size: Size): void {
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

  /** For what is outside of the linear part of an skb: loads it out of line and comes back. */
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

/** Where IEEE 802.1Q has the tag: behind the addresses; two bytes of type, two of priority and VLAN. */
const TAG = 12;
const TAG_BYTES = 4;
const TAG_END = TAG + TAG_BYTES;

/** Goes to `untagged` unless the kernel keeps a VLAN tag of the packet; else R9 is the tag for `taggedAccess`. */
export function takeTag(assembler: Assembler, untagged: Label): void {
  assembler.load(4, R1, R6, SKB.vlanPresent);
  assembler.jumpImmediate(JMP | JEQ, R1, 0, untagged);
  assembler.load(4, R9, R6, SKB.vlanProto);
  assembler.fromNetworkOrder(2, R9);
  assembler.immediate(ALU | LSH, R9, 16);
  assembler.load(4, R1, R6, SKB.vlanTci);
  assembler.register(ALU | OR, R9, R1);
}

/** The packet as it was on the wire: with the tag of R9 put back in its place. */
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
