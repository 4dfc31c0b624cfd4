/** Which protocol a connection speaks, by the first bytes that one side sends in it. */
import { readQuery } from "../../datagram/dns.ts";
import { isQuic } from "../../datagram/quic.ts";
import { recognizeSecured } from "../../engine/sessions/secured.ts";
import { isSurelyRequest } from "../../protocol/http/beginning.ts";
import { isFirstPacket } from "../../protocol/mysql/packets/greeting.ts";
import { proxyHeaderLength } from "../../wire/proxy-protocol.ts";

export type ProtocolName =
  | "TLS"
  | "HTTP/1"
  | "HTTP/2"
  | "MySQL"
  | "PostgreSQL"
  | "redis"
  | "SSH"
  | "MongoDB"
  | "Kafka"
  | "SMTP"
  | "DNS"
  | "QUIC";

export interface Recognized {
  /** Null: none that is known. */
  protocol: ProtocolName | null;
  /** The version of a PROXY protocol header in front; 0: there is none. */
  proxy: 0 | 1 | 2;
}

/** Of what recognizeSecured names; null: it is told by the other side. */
const SECURED: Partial<Record<string, ProtocolName>> = {
  tls: "TLS",
  postgresql: "PostgreSQL",
  mysql: "MySQL",
  mongodb: "MongoDB",
  kafka: "Kafka",
  ssh: "SSH",
};

const HTTP2_PREFACE = "PRI * HTTP/2.0";
/** The codes in place of a version in a start packet of PostgreSQL: 3.0, SSLRequest, GSSENCRequest, CancelRequest. */
const POSTGRESQL_STARTS = [196_608, 80_877_103, 80_877_104, 80_877_102];
/** A message of a PostgreSQL client that goes on: query, parse, bind, execute, sync, terminate and others, and its length. */
const POSTGRESQL_MESSAGES = "QPBEDSXHCFdcf";
/** Commands of MySQL clients that go on (COM_*): most of those in use. */
const MYSQL_LAST_COMMAND = 0x1f;
const latin1 = new TextDecoder("latin1");

const big32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

/** By what a client sends at the beginning of a connection, or of a turn in one that goes on. */
export function recognizeClient(bytes: Uint8Array): Recognized {
  const header = proxyHeaderLength(bytes, 0, bytes.length);
  const isHeader = header > 0;
  const proxy = !isHeader ? 0 : bytes[0] === 0x50 ? 1 : 2;
  return { protocol: protocolOf(isHeader ? bytes.subarray(header) : bytes), proxy };
}

function protocolOf(bytes: Uint8Array): ProtocolName | null {
  const { length } = bytes;
  if (length < 4) return null;
  const secured = SECURED[recognizeSecured(bytes, 0, length) ?? ""];
  if (secured) return secured;
  if (isTlsRecord(bytes)) return "TLS";
  const text = latin1.decode(bytes.subarray(0, 64));
  if (text.startsWith(HTTP2_PREFACE)) return "HTTP/2";
  if (isSurelyRequest(bytes, 0, length)) return "HTTP/1";
  if (isRedis(text)) return "redis";
  if (isPostgresql(bytes)) return "PostgreSQL";
  if (/^(EHLO|HELO|LHLO) \S+\r\n/i.test(text)) return "SMTP";
  return isMysqlCommand(bytes) ? "MySQL" : null;
}

/** By what a server sends first, or answers. */
export function recognizeServer(bytes: Uint8Array): ProtocolName | null {
  if (bytes.length < 4) return null;
  const text = latin1.decode(bytes.subarray(0, 64));
  if (/^SSH-[12]\.[0-9]/.test(text)) return "SSH";
  if (/^HTTP\/1\.[01] [0-9]{3}/.test(text)) return "HTTP/1";
  if (/^220[ -].*(SMTP|mail)/i.test(text)) return "SMTP";
  if (isFirstPacket(bytes)) return "MySQL";
  if (isTlsRecord(bytes)) return "TLS";
  return null;
}

/** By a datagram. */
export function recognizeDatagram(bytes: Uint8Array): ProtocolName | null {
  if (readQuery(bytes, 0, bytes.length)) return "DNS";
  return isQuic(bytes, 0, bytes.length) ? "QUIC" : null;
}

/** A record of TLS 1.0 to 1.3: change of cipher, alert, handshake, data. */
function isTlsRecord(bytes: Uint8Array): boolean {
  const length = (bytes[3]! << 8) | bytes[4]!;
  const [type, version] = [bytes[0]!, bytes[2]!];
  return (
    bytes.length > 5 &&
    type >= 20 &&
    type <= 23 &&
    bytes[1] === 3 &&
    version <= 4 &&
    length > 0 &&
    length <= 16_640
  );
}

/** An array of bulk strings (RESP), or a command in a line. */
function isRedis(text: string): boolean {
  return /^\*[1-9][0-9]{0,6}\r\n\$[0-9]{1,9}\r\n/.test(text) || /^(PING|INFO|QUIT)\r\n/i.test(text);
}

function isPostgresql(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (
    length >= 8 &&
    big32(bytes, 0) >= 8 &&
    big32(bytes, 0) <= 10_000 &&
    POSTGRESQL_STARTS.includes(big32(bytes, 4))
  )
    return true;
  const isMessage = length >= 5 && POSTGRESQL_MESSAGES.includes(String.fromCharCode(bytes[0]!));
  const size = isMessage ? big32(bytes, 1) : 0;
  if (size < 4) return false;
  // Either the segment is one message, or another one begins behind it.
  if (size + 1 === length) return true;
  return size + 1 < length && POSTGRESQL_MESSAGES.includes(String.fromCharCode(bytes[size + 1]!));
}

/** A whole command packet: its length, the number 0, a command. */
function isMysqlCommand(bytes: Uint8Array): boolean {
  const size = bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16);
  return size > 0 && bytes[3] === 0 && size + 4 === bytes.length && bytes[4]! <= MYSQL_LAST_COMMAND;
}
