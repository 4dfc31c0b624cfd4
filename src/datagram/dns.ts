/** Reading DNS messages (RFC 1035, section 4), as far as queries and answers are told apart and compared by it. All of it is hostile. */

const HEADER = 12;
/** Most bytes of a name (RFC 1035, section 2.3.4). */
const LONGEST_NAME = 255;
const LONGEST_LABEL = 63;
const POINTER = 0xc0;
/** The type of EDNS's pseudo-record (RFC 6891, section 6.1.1), and bytes of a record behind its name. */
const OPT = 41;
const RECORD = 10;
/** Most records that are walked through. */
const MOST_RECORDS = 512;

// The flags, in the second half of the first word.
const RESPONSE = 0x8000;
const OPCODE = 0x7800;
const TRUNCATED = 0x0200;
const RCODE = 0x000f;

/** The classes of questions: IN, CH, HS, NONE, ANY. */
const CLASSES = new Set([1, 3, 4, 254, 255]);
/** RFC 1035 and later: the types that are asked for; others are told as in RFC 3597, section 5. */
const TYPES = new Map(
  Object.entries({
    A: 1,
    NS: 2,
    CNAME: 5,
    SOA: 6,
    NULL: 10,
    PTR: 12,
    HINFO: 13,
    MX: 15,
    TXT: 16,
    RP: 17,
    AFSDB: 18,
    SIG: 24,
    KEY: 25,
    AAAA: 28,
    LOC: 29,
    SRV: 33,
    NAPTR: 35,
    CERT: 37,
    DNAME: 39,
    DS: 43,
    SSHFP: 44,
    IPSECKEY: 45,
    RRSIG: 46,
    NSEC: 47,
    DNSKEY: 48,
    DHCID: 49,
    NSEC3: 50,
    NSEC3PARAM: 51,
    TLSA: 52,
    SMIMEA: 53,
    HIP: 55,
    CDS: 59,
    CDNSKEY: 60,
    OPENPGPKEY: 61,
    CSYNC: 62,
    ZONEMD: 63,
    SVCB: 64,
    HTTPS: 65,
    SPF: 99,
    TKEY: 249,
    TSIG: 250,
    IXFR: 251,
    AXFR: 252,
    ANY: 255,
    URI: 256,
    CAA: 257,
  }).map(([name, number]) => [number, name]),
);

export interface Query {
  id: number;
  /** "A", "AAAA", "TYPE65280". */
  type: string;
  /** In presentation format (RFC 1035, section 5.1; RFC 4343, section 2.1), as it was asked, without the last dot; the root: ".". */
  name: string;
  /** The question as it was asked. */
  question: Uint8Array;
}

const word = (bytes: Uint8Array, at: number) => (bytes[at]! << 8) | bytes[at + 1]!;

/** Behind the name at `at`, with its last label or pointer; -1 if it is none. `isPlain`: it may have no pointer. */
function skipName(bytes: Uint8Array, from: number, to: number, isPlain: boolean): number {
  for (let at = from; at < to && at - from < LONGEST_NAME; ) {
    const length = bytes[at]!;
    if (length === 0) return at + 1;
    if (length >= POINTER) return !isPlain && at + 2 <= to ? at + 2 : -1;
    if (length > LONGEST_LABEL) return -1;
    at += 1 + length;
  }
  return -1;
}

/** Reads the `length` bytes at `at` as a query: null if they are none, with one question of a class that there is. */
export function readQuery(bytes: Uint8Array, at: number, length: number): Query | null {
  const to = at + length;
  if (length <= HEADER || word(bytes, at + 2) & (RESPONSE | OPCODE)) return null;
  // One question, no answer; IXFR has a record of authority (RFC 1995), EDNS and TSIG have additional ones.
  if (word(bytes, at + 4) !== 1 || word(bytes, at + 6) !== 0) return null;
  if (word(bytes, at + 8) > 1 || word(bytes, at + 10) > 4) return null;
  const end = skipName(bytes, at + HEADER, to, true);
  if (end < 0 || end + 4 > to || !CLASSES.has(word(bytes, end + 2))) return null;
  const type = word(bytes, end);
  return {
    id: word(bytes, at),
    type: TYPES.get(type) ?? `TYPE${type}`,
    name: textOf(bytes, at + HEADER, end - 1),
    question: bytes.slice(at + HEADER, end + 4),
  };
}

/** The labels from `from` to `to`. */
function textOf(bytes: Uint8Array, from: number, to: number): string {
  if (from === to) return ".";
  let text = "";
  for (let at = from; at < to; ) {
    const end = at + 1 + bytes[at]!;
    if (at > from) text += ".";
    for (at++; at < end; at++) {
      const byte = bytes[at]!;
      const character = String.fromCharCode(byte);
      if (byte <= 0x20 || byte >= 0x7f) text += `\\${String(byte).padStart(3, "0")}`;
      else text += '."\\;()@$'.includes(character) ? `\\${character}` : character;
    }
  }
  return text;
}

/** The number of a message's query; -1 if it is no answer. `at` to `to`: what was captured of it. */
export function answerId(bytes: Uint8Array, at: number, to: number): number {
  return to - at >= HEADER && word(bytes, at + 2) & RESPONSE ? word(bytes, at) : -1;
}

/** Whether an answer is one to this question, by as much of its own as was captured; servers may leave it out with an error. */
export function answers(bytes: Uint8Array, at: number, to: number, question: Uint8Array): boolean {
  if (word(bytes, at + 4) === 0) return true;
  const end = Math.min(to, at + HEADER + question.length);
  for (let i = at + HEADER; i < end; i++) if (bytes[i] !== question[i - at - HEADER]) return false;
  return true;
}

export function isTruncated(bytes: Uint8Array, at: number): boolean {
  return (word(bytes, at + 2) & TRUNCATED) !== 0;
}

/** Records in the answer section. */
export function answerCount(bytes: Uint8Array, at: number): number {
  return word(bytes, at + 6);
}

/** The RCODE; with the upper bits that EDNS gives (RFC 6891, section 6.1.3), if its record was captured. */
export function rcodeOf(bytes: Uint8Array, at: number, to: number): number {
  const low = word(bytes, at + 2) & RCODE;
  const records = word(bytes, at + 6) + word(bytes, at + 8) + word(bytes, at + 10);
  let next = at + HEADER;
  for (let questions = word(bytes, at + 4); questions > 0; questions--) {
    next = skipName(bytes, next, to, false);
    if (next < 0 || next + 4 > to) return low;
    next += 4;
  }
  for (let record = 0; record < Math.min(records, MOST_RECORDS); record++) {
    next = skipName(bytes, next, to, false);
    if (next < 0 || next + RECORD > to) return low;
    if (word(bytes, next) === OPT) return low | (bytes[next + 4]! << 4);
    next += RECORD + word(bytes, next + 8);
  }
  return low;
}
