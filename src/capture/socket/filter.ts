/**
 * The classic BPF filter of a capturing socket. It accepts everything that can be a request, and little else; the matcher then
 * decides what is one.
 */
import { behind } from "../../filter/classic.ts";
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
import { HARDWARE_TYPES } from "../../filter/compile.ts";
import type { AnsweringService } from "../services.ts";
import {
  ANY_FRAGMENT,
  ETHERNET_HEADER,
  ETHERTYPE_IP,
  ETHERTYPE_IPV6,
  ETHERTYPES_TAGGED,
  EXTENSIONS,
  HARDWARE_TYPE,
  ICMP,
  ICMP6,
  INTERFACE,
  LINK_BYTES,
  MARK,
  NETWORK,
  OWN_PACKET_BYTES,
  PACKET_OUTGOING,
  PACKET_TYPE,
  PROTOCOL,
  TCP,
  UDP,
} from "./packet-fields.ts";
import { filterSent } from "./sent-filter.ts";

/**
 * What a socket's packets begin with. Packet socket: the MAC header ("packet"), or with SOCK_DGRAM the network header
 * ("network"). Raw socket: the IPv4 header ("ip4"), or of IPv6 the TCP or UDP header ("ip6").
 */
export type SocketKind = "packet" | "network" | "ip4" | "ip6";

export interface SocketFilterOptions {
  kind: SocketKind;
  /** Interface indexes; null: all. */
  interfaces: readonly number[] | null;
  /** Whether requests leave this host. */
  isOutgoing: boolean;
  /** TCP ports: of requests the destination port, of answers the source port. */
  ports: readonly number[];
  /** UDP ports. Default: none. */
  datagramPorts?: readonly number[];
  /** SO_MARK of our own packets; 0: none. */
  mark: number;
  /** Most bytes of an IP packet that are captured. */
  snaplen: number;
  /**
   * -F, compiled for packets with an Ethernet header and for those without; null in one of them: it cannot be compiled for
   * these, and none of them match. Null: no -F.
   */
  front: { ethernet: Uint8Array | null; raw: Uint8Array | null } | null;
  /** Whether answers are taken instead of requests, and ICMP errors, which may be about them. Default false. */
  takesAnswers?: boolean;
  /** Packet sockets: services of which what they send is taken besides requests, as it leaves. Default: none. */
  answering?: readonly AnsweringService[];
  /** Whether that is taken as it comes in: on loopback libpcap shows a packet only so. Default false. */
  answersComeIn?: boolean;
}

/** Rejects everything. */
export function rejectAll(): Uint8Array {
  const program = new ClassicAssembler();
  program.return(0);
  return program.bytes();
}

/** Instructions for `attachSocketFilter`. */
export function socketFilter(options: SocketFilterOptions): Uint8Array {
  const { kind, interfaces, isOutgoing, mark, snaplen, front } = options;
  const { answering = [], answersComeIn = false } = options;
  const program = new ClassicAssembler();
  const reject = program.label();
  const accept = program.label();
  if (interfaces) {
    const isWanted = program.label();
    program.emit(LOAD_WORD, INTERFACE);
    for (const ifindex of interfaces) program.jumpIf(EQUAL, ifindex, isWanted);
    program.jump(reject);
    program.place(isWanted);
  }
  const isRight = program.label();
  const isSent = program.label();
  const hasAnswers = answering.length > 0;
  const otherwise = hasAnswers && answersComeIn ? isSent : reject;
  program.emit(LOAD_WORD, PACKET_TYPE);
  const leaving = hasAnswers && !answersComeIn ? isSent : reject;
  program.jumpIf(EQUAL, PACKET_OUTGOING, isOutgoing ? isRight : leaving);
  program.jump(isOutgoing ? reject : isRight);
  program.place(isRight);

  /** Matches packets with the IP header at offset `network`; `filter` is -F compiled for such packets. */
  const match = (network: number, filter: Uint8Array | null) => {
    const isWanted = program.label();
    if (filter) program.embed(filter, isWanted, otherwise);
    else if (front) program.jump(otherwise);
    program.place(isWanted);
    matchPorts(program, network, options, accept, otherwise);
  };
  if (kind === "packet") {
    const [ethernet, raw] = [program.label(), program.label()];
    program.emit(LOAD_WORD, HARDWARE_TYPE);
    for (const type of HARDWARE_TYPES.ethernet) program.jumpIf(EQUAL, type, ethernet);
    for (const type of HARDWARE_TYPES.raw) program.jumpIf(EQUAL, type, raw);
    match(NETWORK, null);
    program.place(raw);
    match(0, front?.raw ?? null);
    program.place(ethernet);
    match(ETHERNET_HEADER, front?.ethernet ?? null);
  } else if (kind === "ip4" || kind === "network") {
    match(0, front?.raw ?? null);
  } else {
    match(NETWORK, front?.raw ? behind(front.raw, NETWORK) : null);
  }

  program.place(accept);
  const isOwn = program.label();
  if (mark !== 0) {
    program.emit(LOAD_WORD, MARK);
    program.jumpIf(EQUAL, mark, isOwn);
  }
  program.return(snaplen + LINK_BYTES);
  program.place(isOwn);
  program.return(OWN_PACKET_BYTES);
  program.place(isSent);
  if (hasAnswers) filterSent(program, answering, mark, reject);
  program.place(reject);
  program.return(0);
  return program.bytes();
}

/**
 * Accepts TCP and UDP to one of the ports, and what only the matcher can decide about: fragments, tagged frames, extension
 * headers. `network`: offset of the IP header.
 */
function matchPorts(
  program: ClassicAssembler,
  network: number,
  { ports, datagramPorts = [], takesAnswers }: SocketFilterOptions,
  accept: number,
  reject: number,
): void {
  const isIp4 = program.label();
  const isIp6 = program.label();
  /** Each transport, its ports, and the bits of the fragment field of which any makes a packet accepted. */
  const transports = [
    { protocol: TCP, ports, fragments: ANY_FRAGMENT },
    { protocol: UDP, ports: datagramPorts, fragments: ANY_FRAGMENT },
  ].filter((one) => one.ports.length > 0);
  const port = takesAnswers ? 0 : 2;
  program.emit(LOAD_WORD, PROTOCOL);
  program.jumpIf(EQUAL, ETHERTYPE_IP, isIp4);
  program.jumpIf(EQUAL, ETHERTYPE_IPV6, isIp6);
  for (const type of ETHERTYPES_TAGGED) program.jumpIf(EQUAL, type, accept);
  program.jump(reject);

  program.place(isIp6);
  const choose = (others: number[], load: (one: (typeof transports)[number]) => void) => {
    const places = transports.map(({ protocol }) => ({ protocol, place: program.label() }));
    for (const { protocol, place } of places) program.jumpIf(EQUAL, protocol, place);
    for (const type of others) program.jumpIf(EQUAL, type, accept);
    program.jump(reject);
    for (const [index, one] of transports.entries()) {
      program.place(places[index]!.place);
      load(one);
      for (const wanted of new Set(one.ports)) program.jumpIf(EQUAL, wanted, accept);
      program.jump(reject);
    }
  };
  program.emit(LOAD_BYTE, network + 6);
  choose(takesAnswers ? [...EXTENSIONS, ICMP6] : EXTENSIONS, () => {
    program.emit(LOAD_HALF, network + 40 + port);
  });

  program.place(isIp4);
  program.emit(LOAD_BYTE, network + 9);
  choose(takesAnswers ? [ICMP] : [], ({ fragments }) => {
    program.emit(LOAD_HALF, network + 6);
    program.jumpIf(HAS_BITS, fragments, accept);
    program.emit(LOAD_X_HEADER, network);
    program.emit(LOAD_HALF_INDEXED, network + port);
  });
}
