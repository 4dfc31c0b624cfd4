/** Recognizing and reading the server's greeting (Protocol::HandshakeV10). */
import { CLIENT_LONG_PASSWORD, CLIENT_PLUGIN_AUTH, CLIENT_SECURE_CONNECTION, ERR } from "./constants.ts";
import { HEADER } from "./packets.ts";
import { Malformed, Reader, text } from "./reader.ts";

export interface Greeting {
  version: string;
  capabilities: number;
  /** The upper half of MariaDB's capabilities; 0 for other servers. */
  mariadb: number;
  charset: number;
  /** The challenge for the password: 20 bytes, or more for MariaDB's ed25519. */
  scramble: Uint8Array;
  plugin: string;
}

const VERSION_10 = 10;
/** The lowest error code; a server may greet with ER_CON_COUNT_ERROR, ER_HOST_IS_BLOCKED and others. */
const FIRST_ERROR = 1000;

/**
 * Whether the server's first bytes are MySQL: a greeting, or an error in its place (blocked host, too many connections).
 * Null: more bytes are needed.
 */
export function isFirstPacket(bytes: Uint8Array): boolean | null {
  const { length } = bytes;
  // A length below 64 KiB, sequence number 0, and the first payload byte: other protocols differ in one of them.
  if (length > 2 && bytes[2] !== 0) return false;
  if (length > 3 && bytes[3] !== 0) return false;
  if (length > HEADER && bytes[HEADER] !== VERSION_10 && bytes[HEADER] !== ERR) return false;
  const end = HEADER + (bytes[0]! | (bytes[1]! << 8));
  if (length <= HEADER || length < end) return null;
  try {
    if (bytes[HEADER] === ERR) return new Reader(bytes, HEADER + 1, end).integer(2) >= FIRST_ERROR;
    readGreeting(bytes, HEADER, end);
    return true;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return false;
  }
}

/** Reads the payload of a greeting; throws Malformed. */
export function readGreeting(bytes: Uint8Array, from: number, to: number): Greeting {
  const reader = new Reader(bytes, from, to);
  if (reader.integer(1) !== VERSION_10) throw new Malformed("not a MySQL greeting");
  const version = text(reader.terminated());
  reader.integer(4);
  const first = reader.view(8);
  reader.integer(1);
  let capabilities = reader.integer(2);
  if (reader.left === 0) {
    return { version, capabilities, mariadb: 0, charset: 8, scramble: first.slice(), plugin: "" };
  }
  const charset = reader.integer(1);
  reader.integer(2);
  capabilities = (capabilities | (reader.integer(2) << 16)) >>> 0;
  const scrambleLength = reader.integer(1);
  reader.view(6);
  const upper = reader.integer(4);
  let second = new Uint8Array(0);
  if (capabilities & CLIENT_SECURE_CONNECTION) {
    // At least 13 bytes, of which the last is a terminating 0.
    second = Uint8Array.from(reader.view(Math.min(reader.left, Math.max(13, scrambleLength - 8))));
    if (second.at(-1) === 0) second = second.slice(0, -1);
  }
  const plugin = capabilities & CLIENT_PLUGIN_AUTH ? text(reader.terminated()) : "";
  const scramble = new Uint8Array(first.length + second.length);
  scramble.set(first);
  scramble.set(second, first.length);
  const mariadb = capabilities & CLIENT_LONG_PASSWORD ? 0 : upper;
  return { version, capabilities, mariadb, charset, scramble, plugin };
}
