/**
 * Protocols of which a copy cannot work, because what the client sends depends on what its own server has chosen: keys, or the
 * challenge of a login. They are recognized by the client's bytes, to say so; they are copied all the same.
 */

/** What is told of each: what it is, and what to do. */
export const SECURED = {
  tls: {
    what: "TLS",
    why: "no target can read it without the keys of the connection: nothing works there, whatever is answered",
    fix: "Copy behind the place where TLS ends (-x with the port to which a proxy like nginx passes it), or from clients without TLS.",
  },
  postgresql: {
    what: "PostgreSQL logins with a password (SCRAM or md5)",
    why: "they answer a challenge of the server here, and the target gives another: it refuses them",
    fix: "Copies work where both servers' pg_hba.conf have `trust` for these clients, or `password` with the same one, for example behind a pooler (PgBouncer).",
  },
  mysql: {
    what: "MySQL logins with a password",
    why: "they answer a challenge of the server here, and the target gives another: it refuses them",
    fix: "Give --protocol PORT=mysql, with which xcopy logs in itself (-u, --mysql-users).",
  },
  mongodb: {
    what: "MongoDB logins with SCRAM",
    why: "they answer a challenge of the server here, and the target gives another: it refuses them",
    fix: "Turn authorization off at the target.",
  },
  kafka: {
    what: "Kafka logins with SCRAM",
    why: "they answer a challenge of the server here, and the target gives another: it refuses them",
    fix: "Let the target take PLAINTEXT or SASL/PLAIN at this port.",
  },
  sasl: {
    what: "logins that answer a challenge (CRAM-MD5, DIGEST-MD5, SCRAM, NTLM, GSSAPI)",
    why: "the target gives another challenge: it refuses them",
    fix: "Let the target take requests without a login, or clients use PLAIN.",
  },
  ssh: {
    what: "SSH",
    why: "it is encrypted: no target can read it",
    fix: "Leave this port out.",
  },
} as const;

export type SecuredName = keyof typeof SECURED;

/** Most bytes of a turn that are looked at. */
export const LOOKED_AT = 1024;

const SCRAM = new TextEncoder().encode("SCRAM-SHA-");
const SASL = /^(?:\S{1,32} )?AUTH(?:ENTICATE)? (?:CRAM-MD5|DIGEST-MD5|SCRAM-SHA-|NTLM|GSSAPI)/i;
const CLIENT_PROTOCOL_41 = 1 << 9;
/** Bytes of a MySQL login before the user's name, with the header; of those, where the zeros are. */
const LOGIN_FIXED = 36;
const LOGIN_ZEROS = [13, 32] as const;
const SASL_HANDSHAKE = 17;
/** OP_COMPRESSED is not read. */
const MONGODB_QUERY = 2004;
const MONGODB_MESSAGE = 2013;
const latin1 = new TextDecoder("latin1");

/** The protocol of the client's bytes, the beginning of a turn: `bytes` from `from` to `to`; null: none of these. */
export function recognizeSecured(bytes: Uint8Array, from: number, to: number): SecuredName | null {
  const count = to - from;
  if (count < 6) return null;
  const first = bytes[from]!;
  if (first === 0x16) return isClientHello(bytes, from) ? "tls" : null;
  // TDS (SQL Server) has the handshake in packets of its own.
  if (first === 0x12 && count >= 14) return isClientHello(bytes, from + 8) ? "tls" : null;
  if (first === 0x70) return isPostgresql(bytes, from, count) ? "postgresql" : null;
  if (first >= 0x41 && first <= 0x7a) {
    const line = latin1.decode(bytes.subarray(from, from + Math.min(count, 64)));
    if (/^SSH-[12]\.[0-9]/.test(line)) return "ssh";
    if (SASL.test(line)) return "sasl";
  }
  if (bytes[from + 3] === 1 && isMysqlLogin(bytes, from, count)) return "mysql";
  if (count < 24) return null;
  const code = little32(bytes, from + 12);
  const isMongodb = (code === MONGODB_MESSAGE || code === MONGODB_QUERY) && little32(bytes, from) >= count;
  if (isMongodb && hasScram(bytes, from, to)) return "mongodb";
  const isKafka = bytes[from] === 0 && ((bytes[from + 4]! << 8) | bytes[from + 5]!) === SASL_HANDSHAKE;
  return isKafka && hasScram(bytes, from, to) ? "kafka" : null;
}

/** The beginning of a record with a ClientHello (RFC 8446 section 5.1, and RFC 5246). */
function isClientHello(bytes: Uint8Array, at: number): boolean {
  const length = (bytes[at + 3]! << 8) | bytes[at + 4]!;
  return (
    bytes[at] === 0x16 &&
    bytes[at + 1] === 3 &&
    bytes[at + 2]! <= 4 &&
    bytes[at + 5] === 1 &&
    length >= 4 &&
    length <= 16384
  );
}

/** SASLInitialResponse with SCRAM, or PasswordMessage with an MD5 hash ("Message Formats" of PostgreSQL). */
function isPostgresql(bytes: Uint8Array, from: number, count: number): boolean {
  if (bytes[from + 1] !== 0 || bytes[from + 2] !== 0 || count < 15) return false;
  const text = latin1.decode(bytes.subarray(from + 5, from + Math.min(count, 41)));
  return text.startsWith("SCRAM-SHA-") || (bytes[from + 4] === 40 && /^md5[0-9a-f]{32}\0/.test(text));
}

/** Protocol::HandshakeResponse41 or SSLRequest with the number 1; not one without a password. */
function isMysqlLogin(bytes: Uint8Array, from: number, count: number): boolean {
  const length = bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16);
  if (count < LOGIN_FIXED || length !== count - 4 || !(little32(bytes, from + 4) & CLIENT_PROTOCOL_41))
    return false;
  for (let at = LOGIN_ZEROS[0]; at < LOGIN_ZEROS[1]; at++) if (bytes[from + at] !== 0) return false;
  const end = bytes.indexOf(0, from + LOGIN_FIXED);
  return end > from + LOGIN_FIXED && end + 1 < from + count && bytes[end + 1] !== 0;
}

function hasScram(bytes: Uint8Array, from: number, to: number): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).includes(SCRAM);
}

function little32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
