/**
 * What the kernel lets into the queue of a capturing socket: everything that can be a request, and little else. Whether it
 * is one the matcher decides. The same program serves packet sockets, raw IP sockets and those of libpcap, as its loads are
 * relative to the IP header (SKF_NET_OFF of linux/filter.h).
 */
import {
  ClassicAssembler,
  EQUAL,
  HAS_BITS,
  LOAD_BYTE,
  LOAD_HALF,
  LOAD_HALF_INDEXED,
  LOAD_WORD,
  LOAD_X_HEADER,
} from "../../filter/classic-assembler.ts";

/** Loads relative to the IP header, and of what Linux knows about a packet: SKF_NET_OFF, SKF_AD_OFF as 32 bits. */
const NETWORK = 0xfff00000;
const KNOWN = 0xfffff000;
const PROTOCOL = KNOWN + 0;
const PACKET_TYPE = KNOWN + 4;
const INTERFACE = KNOWN + 8;
const MARK = KNOWN + 20;
const HARDWARE_TYPE = KNOWN + 28;

const PACKET_OUTGOING = 4;
const ETHERTYPE_IP = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPES_TAGGED = [0x8100, 0x88a8];
const TCP = 6;
/** IPv6 headers behind which TCP may be: options, routing, fragment, authentication. */
const EXTENSIONS = [0, 43, 44, 51, 60];
const ARPHRD_ETHERNET = [1, 772];

/** Bytes that are taken of a packet of our own, so that it can be counted: fewer than any header has. */
export const OWN_PACKET_BYTES = 1;
/** Link layer headers in front of the bytes that -S counts. */
const LINK_BYTES = 64;

export interface SocketFilterOptions {
  /** Null: every one. */
  interfaces: readonly number[] | null;
  /** Whether requests leave this host. */
  isOutgoing: boolean;
  /** Destination ports. */
  ports: readonly number[];
  /** SO_MARK of our own packets; 0: none. */
  mark: number;
  /** Most bytes of an IP packet that are captured. */
  snapBytes: number;
  /** -F, compiled for packets with an Ethernet header and for those without; null: it cannot be, and none match. */
  front: { ethernet: Uint8Array | null; raw: Uint8Array | null } | null;
}

/** Rejects everything. */
export function rejectAll(): Uint8Array {
  const program = new ClassicAssembler();
  program.return(0);
  return program.bytes();
}

/** Instructions for `attachSocketFilter`. */
export function socketFilter(options: SocketFilterOptions): Uint8Array {
  const { interfaces, isOutgoing, mark, snapBytes, front } = options;
  const program = new ClassicAssembler();
  const [here, wanted, reject, accept, isOwn] = [0, 1, 2, 3, 4].map(() => program.label()) as [
    number,
    number,
    number,
    number,
    number,
  ];
  if (interfaces) {
    program.load(LOAD_WORD, INTERFACE);
    for (const ifindex of interfaces) program.jumpIf(EQUAL, ifindex, here);
    program.jump(reject);
  }
  program.place(here);
  program.load(LOAD_WORD, PACKET_TYPE);
  const [right, wrong] = [program.label(), program.label()];
  program.jumpIf(EQUAL, PACKET_OUTGOING, isOutgoing ? right : wrong);
  program.jump(isOutgoing ? wrong : right);
  program.place(wrong);
  program.return(0);
  program.place(right);
  if (front) embedFront(program, front, wanted, reject);
  program.place(wanted);
  matchPorts(program, options.ports, accept, reject);
  program.place(accept);
  if (mark !== 0) {
    program.load(LOAD_WORD, MARK);
    program.jumpIf(EQUAL, mark, isOwn);
  }
  program.return(snapBytes + LINK_BYTES);
  program.place(isOwn);
  program.return(OWN_PACKET_BYTES);
  program.place(reject);
  program.return(0);
  return program.bytes();
}

function embedFront(
  program: ClassicAssembler,
  { ethernet, raw }: { ethernet: Uint8Array | null; raw: Uint8Array | null },
  match: number,
  reject: number,
): void {
  const hasHeader = program.label();
  program.load(LOAD_WORD, HARDWARE_TYPE);
  for (const type of ARPHRD_ETHERNET) program.jumpIf(EQUAL, type, hasHeader);
  if (raw) program.embed(raw, match, reject);
  else program.jump(reject);
  program.place(hasHeader);
  if (ethernet) program.embed(ethernet, match, reject);
  else program.jump(reject);
}

/** Accepts TCP to one of the ports, and what only the matcher can tell: fragments, tagged frames, extension headers. */
function matchPorts(
  program: ClassicAssembler,
  ports: readonly number[],
  accept: number,
  reject: number,
): void {
  const [isIp4, isIp6, isTcp6, hasPort] = [0, 1, 2, 3].map(() => program.label()) as [
    number,
    number,
    number,
    number,
  ];
  program.load(LOAD_WORD, PROTOCOL);
  program.jumpIf(EQUAL, ETHERTYPE_IP, isIp4);
  program.jumpIf(EQUAL, ETHERTYPE_IPV6, isIp6);
  for (const type of ETHERTYPES_TAGGED) program.jumpIf(EQUAL, type, accept);
  program.jump(reject);

  program.place(isIp6);
  program.load(LOAD_BYTE, NETWORK + 6);
  program.jumpIf(EQUAL, TCP, isTcp6);
  for (const type of EXTENSIONS) program.jumpIf(EQUAL, type, accept);
  program.jump(reject);
  program.place(isTcp6);
  program.load(LOAD_HALF, NETWORK + 42);
  program.jump(hasPort);

  program.place(isIp4);
  program.load(LOAD_BYTE, NETWORK + 9);
  const isTcp4 = program.label();
  program.jumpIf(EQUAL, TCP, isTcp4);
  program.jump(reject);
  program.place(isTcp4);
  program.load(LOAD_HALF, NETWORK + 6);
  program.jumpIf(HAS_BITS, 0x1fff, accept);
  program.load(LOAD_X_HEADER, NETWORK);
  program.load(LOAD_HALF_INDEXED, NETWORK + 2);

  program.place(hasPort);
  for (const port of new Set(ports)) program.jumpIf(EQUAL, port, accept);
  program.jump(reject);
}
