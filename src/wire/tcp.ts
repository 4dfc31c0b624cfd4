/** TCP on the wire: flags, sequence arithmetic, options (RFC 9293, RFC 7323, RFC 2018). */
import type { Packet } from "./packet.ts";

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;

/** a - b modulo 2^32, as a signed number: negative if a is before b in sequence space (RFC 9293 section 3.4). */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK_PERMITTED = 4;
const OPTION_SACK = 5;
const OPTION_TIMESTAMPS = 8;
/** TCP-MD5 (RFC 2385) and TCP-AO (RFC 5925). */
const OPTION_MD5 = 19;
const OPTION_AUTHENTICATION = 29;
/** Multipath TCP (RFC 8684): its first three subtypes are of interest, see engine/sessions/mptcp.ts. */
const OPTION_MULTIPATH = 30;
const LAST_SUBTYPE = 2;

/** The options of one segment. Reused: filled by `parseOptions`. */
export interface TcpOptions {
  /** Bytes; 0 if absent. */
  mss: number;
  /** Shift count, 0 to 14; -1 if absent. */
  windowScale: number;
  sackPermitted: boolean;
  hasTimestamps: boolean;
  tsval: number;
  tsecr: number;
  /** Whether it is signed: TCP-MD5 or TCP-AO. */
  isSigned: boolean;
  /** Offset in the packet of MP_CAPABLE, MP_JOIN or DSS (see engine/sessions/mptcp.ts); 0 if there is none. */
  multipath: number;
}

export function emptyOptions(): TcpOptions {
  return {
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    hasTimestamps: false,
    tsval: 0,
    tsecr: 0,
    isSigned: false,
    multipath: 0,
  };
}

/** Reads the options of `packet` into `into`. A malformed option ends the reading, as in Linux's tcp_parse_options. */
export function parseOptions(packet: Packet, into: TcpOptions): void {
  into.mss = 0;
  into.windowScale = -1;
  into.sackPermitted = false;
  into.hasTimestamps = false;
  into.isSigned = false;
  into.multipath = 0;
  const { bytes, view } = packet;
  const end = Math.min(packet.tcp + packet.headerLength, packet.end);
  let at = packet.tcp + 20;
  while (at < end) {
    const kind = bytes[at]!;
    if (kind === OPTION_END) return;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return;
    const length = bytes[at + 1]!;
    if (length < 2 || at + length > end) return;
    if (kind === OPTION_TIMESTAMPS && length === 10) {
      into.hasTimestamps = true;
      into.tsval = view.getUint32(at + 2);
      into.tsecr = view.getUint32(at + 6);
    } else if (kind === OPTION_MSS && length === 4) {
      into.mss = view.getUint16(at + 2);
    } else if (kind === OPTION_WINDOW_SCALE && length === 3) {
      into.windowScale = Math.min(bytes[at + 2]!, 14);
    } else if (kind === OPTION_SACK_PERMITTED && length === 2) {
      into.sackPermitted = true;
    } else if (kind === OPTION_MD5 || kind === OPTION_AUTHENTICATION) {
      into.isSigned = true;
    } else if (kind === OPTION_MULTIPATH && length >= 4 && bytes[at + 2]! >> 4 <= LAST_SUBTYPE) {
      into.multipath = at;
    }
    at += length;
  }
}

/**
 * Reads the options of `packet` into `into` if they are none, or timestamps alone as most systems lay them out (RFC 7323 appendix
 * A); only `hasTimestamps`, `tsval`, `tsecr` and `isSigned` are set. False if they must be parsed.
 */
export function parseTimestamps({ view, tcp, payload, end }: Packet, into: TcpOptions): boolean {
  const bytes = payload - tcp - 20;
  if (bytes !== 0 && (bytes !== TIMESTAMPS_LENGTH || payload > end)) return false;
  if (bytes > 0 && view.getUint32(tcp + 20) !== TIMESTAMPS_HEAD) return false;
  into.isSigned = false;
  into.hasTimestamps = bytes > 0;
  if (bytes === 0) return true;
  into.tsval = view.getUint32(tcp + 24);
  into.tsecr = view.getUint32(tcp + 28);
  return true;
}

/**
 * Writes the options of a SYN at `at` in Linux's order and returns their bytes, a multiple of 4.
 * `windowScale` -1 leaves that option out.
 */
export function writeSynOptions(
  view: DataView,
  at: number,
  mss: number,
  sackPermitted: boolean,
  timestamps: boolean,
  tsval: number,
  windowScale: number,
): number {
  const start = at;
  view.setUint32(at, (OPTION_MSS << 24) | (4 << 16) | mss);
  at += 4;
  if (timestamps) {
    const leading = sackPermitted
      ? (OPTION_SACK_PERMITTED << 24) | (2 << 16)
      : (OPTION_NOP << 24) | (OPTION_NOP << 16);
    view.setUint32(at, leading | (OPTION_TIMESTAMPS << 8) | 10);
    view.setUint32(at + 4, tsval);
    view.setUint32(at + 8, 0);
    at += 12;
  } else if (sackPermitted) {
    view.setUint32(at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK_PERMITTED << 8) | 2);
    at += 4;
  }
  if (windowScale >= 0) {
    view.setUint32(at, (OPTION_NOP << 24) | (OPTION_WINDOW_SCALE << 16) | (3 << 8) | windowScale);
    at += 4;
  }
  return at - start;
}

/** The kind of experimental options; the next two bytes are the experiment identifier, ExID (RFC 6994). */
const OPTION_EXPERIMENT = 253;
/** Our ExID, "xc", as in bpf/intercept/intercept.bpf.c. */
const EXPERIMENT_ID = 0x7863;
/** Bytes of the cookie in the option, by which an intercept finds the copy that a SYN belongs to. */
export const COOKIE_BYTES = 8;

/** Writes the option that marks our SYNs for an intercept at `at` and returns its bytes. `cookie`: COOKIE_BYTES bytes. */
export function writeCookie(view: DataView, at: number, cookie: Uint8Array): number {
  const length = 4 + COOKIE_BYTES;
  view.setUint32(at, (OPTION_EXPERIMENT << 24) | (length << 16) | EXPERIMENT_ID);
  for (let i = 0; i < COOKIE_BYTES; i++) view.setUint8(at + 4 + i, cookie[i]!);
  return length;
}

/** Bytes of the timestamps option with its padding. */
export const TIMESTAMPS_LENGTH = 12;

/** What it begins with. */
const TIMESTAMPS_HEAD = (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_TIMESTAMPS << 8) | 10;

/** Writes the timestamps option with its padding at `at`. */
export function writeTimestamps(view: DataView, at: number, tsval: number, tsecr: number): void {
  view.setUint32(at, TIMESTAMPS_HEAD);
  view.setUint32(at + 4, tsval);
  view.setUint32(at + 8, tsecr);
}

/** Bytes of a SACK option with `blocks` blocks and its padding. */
export function sackLength(blocks: number): number {
  return blocks === 0 ? 0 : 4 + blocks * 8;
}

/** Writes the first 4 bytes of a SACK option; the caller writes the blocks (left and right edge, 4 bytes each) at `at + 4`. */
export function writeSackHead(view: DataView, at: number, blocks: number): void {
  view.setUint32(at, (OPTION_NOP << 24) | (OPTION_NOP << 16) | (OPTION_SACK << 8) | (2 + blocks * 8));
}
