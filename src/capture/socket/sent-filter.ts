/** The part of a socket's classic BPF filter that takes what services send to clients: see filter.ts. */
import {
  ADD,
  AND,
  AT_LEAST,
  type ClassicAssembler,
  EQUAL,
  HAS_BITS,
  type Label,
  LOAD_BYTE,
  LOAD_BYTE_INDEXED,
  LOAD_CONSTANT,
  LOAD_HALF,
  LOAD_HALF_INDEXED,
  LOAD_LENGTH,
  LOAD_MEMORY,
  LOAD_WORD,
  LOAD_WORD_INDEXED,
  LOAD_X_HEADER,
  SHIFT_RIGHT,
  STORE_MEMORY,
  SUBTRACT,
  WITH_X,
} from "../../filter/classic-assembler.ts";
import { HARDWARE_TYPES } from "../../filter/compile.ts";
import { HEAD_BYTES, mostOf, PREFIX_HEADERS, type Prefix } from "../../wire/prefix.ts";
import { WHOLE_PACKETS } from "../maps.ts";
import type { AnsweringService } from "../services.ts";
import {
  ETHERNET_HEADER,
  ETHERTYPE_IP,
  ETHERTYPE_IPV6,
  ETHERTYPES_TAGGED,
  EXTENSIONS,
  HARDWARE_TYPE,
  LINK_BYTES,
  MARK,
  NETWORK,
  OWN_PACKET_BYTES,
  PROTOCOL,
  TCP,
  UDP,
} from "./packet-fields.ts";

const OFFSET_OF_FRAGMENT = 0x1fff;
const IP6_HEADER = 40;
/** The word of the program's memory with the bytes that are taken. */
const TAKEN = 0;

/** How much of a packet is captured, with room for headers of all layers, where so many bytes of payload are wanted. */
export function bytesWith(payload: number): number {
  return Math.min(WHOLE_PACKETS, PREFIX_HEADERS + payload) + LINK_BYTES;
}

/** What is enough for all of these services; null: there is none. */
function prefixFor(services: readonly AnsweringService[]): Prefix | null {
  if (services.length === 0) return null;
  return {
    bytes: Math.max(...services.map(({ payload }) => payload.bytes)),
    takesHeads: services.some(({ payload }) => payload.takesHeads),
  };
}

/**
 * Ends a program for packet sockets: takes packets that come from the ports of `services`, cut behind the prefix of their payload,
 * and what only the matcher can decide about. Of later fragments there is no port.
 */
export function filterSent(
  program: ClassicAssembler,
  services: readonly AnsweringService[],
  mark: number,
  reject: Label,
): void {
  const isUdp = ({ transport }: AnsweringService) => transport === "udp";
  const [segments, datagrams] = [services.filter((one) => !isUdp(one)), services.filter(isUdp)];
  const [ofTcp, ofUdp] = [prefixFor(segments), prefixFor(datagrams)];
  const most = Math.max(ofTcp ? mostOf(ofTcp) : 0, ofUdp ? mostOf(ofUdp) : 0);
  const [takeMost, takeSegment, takeHead, takeDatagram] = [
    program.label(),
    program.label(),
    program.label(),
    program.label(),
  ];
  const transports = [
    { protocol: TCP, ports: new Set(segments.map(({ port }) => port)) },
    { protocol: UDP, ports: new Set(datagrams.map(({ port }) => port)) },
  ].filter(({ ports }) => ports.size > 0);
  const looksForHeads = ofTcp?.takesHeads && ofTcp.bytes < HEAD_BYTES;

  const chooseTransport = (others: readonly number[], load: () => void, found: Label) => {
    const places = transports.map((one) => ({ ...one, place: program.label() }));
    for (const { protocol, place } of places) program.jumpIf(EQUAL, protocol, place);
    for (const type of others) program.jumpIf(EQUAL, type, takeMost);
    program.jump(reject);
    for (const { protocol, ports, place } of places) {
      program.place(place);
      load();
      for (const port of ports) program.jumpIf(EQUAL, port, protocol === TCP ? found : takeDatagram);
      program.jump(reject);
    }
  };

  const match = (network: number) => {
    const [isIp4, isIp6, found4, found6, found] = [
      program.label(),
      program.label(),
      program.label(),
      program.label(),
      program.label(),
    ];
    program.emit(LOAD_WORD, PROTOCOL);
    program.jumpIf(EQUAL, ETHERTYPE_IP, isIp4);
    program.jumpIf(EQUAL, ETHERTYPE_IPV6, isIp6);
    for (const type of ETHERTYPES_TAGGED) program.jumpIf(EQUAL, type, takeMost);
    program.jump(reject);
    program.place(isIp6);
    program.emit(LOAD_BYTE, network + 6);
    chooseTransport(EXTENSIONS, () => program.emit(LOAD_HALF, network + IP6_HEADER), found6);
    program.place(isIp4);
    program.emit(LOAD_HALF, network + 6);
    program.jumpIf(HAS_BITS, OFFSET_OF_FRAGMENT, reject);
    program.emit(LOAD_BYTE, network + 9);
    const loadPort = () => {
      program.emit(LOAD_X_HEADER, network);
      program.emit(LOAD_HALF_INDEXED, network);
    };
    chooseTransport([], loadPort, found4);
    program.place(found6);
    program.emit(LOAD_CONSTANT, IP6_HEADER);
    program.copyToX();
    program.jump(found);
    program.place(found4);
    program.emit(LOAD_X_HEADER, network);
    program.place(found);
    if (!looksForHeads) program.jump(takeSegment);
    // The payload is seldom in the linear part, which is all that loads relative to the IP header see before Linux 6.16.
    else if (network === NETWORK) program.jump(takeHead);
    else lookForHead(program, network, takeHead, takeSegment);
  };

  const [ethernet, raw, accept, isOwn] = [program.label(), program.label(), program.label(), program.label()];
  const take = (place: Label, bytes: number) => {
    program.place(place);
    program.emit(LOAD_CONSTANT, bytesWith(bytes));
    program.emit(STORE_MEMORY, TAKEN);
    program.jump(accept);
  };
  program.emit(LOAD_WORD, HARDWARE_TYPE);
  for (const type of HARDWARE_TYPES.ethernet) program.jumpIf(EQUAL, type, ethernet);
  for (const type of HARDWARE_TYPES.raw) program.jumpIf(EQUAL, type, raw);
  match(NETWORK);
  program.place(raw);
  match(0);
  program.place(ethernet);
  match(ETHERNET_HEADER);
  take(takeMost, most);
  take(takeHead, Math.max(HEAD_BYTES, ofTcp?.bytes ?? 0));
  take(takeSegment, ofTcp?.bytes ?? 0);
  take(takeDatagram, ofUdp?.bytes ?? 0);
  program.place(accept);
  if (mark !== 0) {
    program.emit(LOAD_WORD, MARK);
    program.jumpIf(EQUAL, mark, isOwn);
  }
  program.emit(LOAD_MEMORY, TAKEN);
  program.returnA();
  program.place(isOwn);
  program.return(OWN_PACKET_BYTES);
}

/** Whether the payload begins with "HTTP/1."; X: bytes of the IP header at `network`. */
function lookForHead(program: ClassicAssembler, network: number, isHead: Label, isNone: Label): void {
  const [isLong, isHttp] = [program.label(), program.label()];
  program.emit(LOAD_BYTE_INDEXED, network + 12);
  program.emit(AND, 0xf0);
  program.emit(SHIFT_RIGHT, 2);
  program.emit(ADD | WITH_X);
  program.copyToX();
  // A load behind the end would reject the packet.
  program.emit(LOAD_LENGTH);
  program.emit(SUBTRACT | WITH_X);
  program.jumpIf(AT_LEAST, network + 8, isLong);
  program.jump(isNone);
  program.place(isLong);
  program.emit(LOAD_WORD_INDEXED, network);
  program.jumpIf(EQUAL, 0x48545450, isHttp);
  program.jump(isNone);
  program.place(isHttp);
  program.emit(LOAD_WORD_INDEXED, network + 4);
  program.emit(AND, 0xffffff00);
  program.jumpIf(EQUAL, 0x2f312e00, isHead);
  program.jump(isNone);
}
