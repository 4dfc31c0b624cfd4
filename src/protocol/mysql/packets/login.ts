/** Reading and writing the client's login (Protocol::HandshakeResponse41) and COM_CHANGE_USER. */
import {
  CLIENT_COMPRESS,
  CLIENT_CONNECT_ATTRS,
  CLIENT_CONNECT_WITH_DB,
  CLIENT_DEPRECATE_EOF,
  CLIENT_LOCAL_FILES,
  CLIENT_LONG_FLAG,
  CLIENT_LONG_PASSWORD,
  CLIENT_MULTI_FACTOR,
  CLIENT_MULTI_RESULTS,
  CLIENT_MULTI_STATEMENTS,
  CLIENT_OPTIONAL_METADATA,
  CLIENT_PLUGIN_AUTH,
  CLIENT_PLUGIN_AUTH_LENENC,
  CLIENT_PROTOCOL_41,
  CLIENT_PS_MULTI_RESULTS,
  CLIENT_SECURE_CONNECTION,
  CLIENT_SSL,
  CLIENT_TRANSACTIONS,
  CLIENT_ZSTD,
  COM_CHANGE_USER,
  MARIADB_PROGRESS,
} from "./constants.ts";
import type { Greeting } from "./greeting.ts";
import { Malformed, Reader, text } from "./reader.ts";
import { Writer } from "./writer.ts";

export interface Login {
  capabilities: number;
  /** The upper half of MariaDB's capabilities; 0 for other clients. */
  mariadb: number;
  /** max_packet_size, bytes. */
  mostPacket: number;
  charset: number;
  user: string;
  /** Whether the authentication response is that of an empty password. */
  hasNoPassword: boolean;
  /** In the character set of the client; empty: none. */
  database: Uint8Array;
  /** Connection attributes as the client has sent them, with their length; empty: none. */
  attributes: Uint8Array;
  /** The level with which the server should compress by zstd; 0: none was given. */
  level: number;
}

/** Payload bytes of Protocol::SSLRequest, which is the first part of a login. */
const TLS_REQUEST_BYTES = 32;
/** Capabilities that we do not support or do not use. */
const NOT_OURS = CLIENT_SSL | CLIENT_MULTI_FACTOR | CLIENT_OPTIONAL_METADATA | CLIENT_CONNECT_WITH_DB;
const ALWAYS = CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION;
const DEFAULT_CAPABILITIES =
  CLIENT_LONG_PASSWORD |
  CLIENT_LONG_FLAG |
  CLIENT_LOCAL_FILES |
  CLIENT_PROTOCOL_41 |
  CLIENT_TRANSACTIONS |
  CLIENT_SECURE_CONNECTION |
  CLIENT_MULTI_STATEMENTS |
  CLIENT_MULTI_RESULTS |
  CLIENT_PS_MULTI_RESULTS |
  CLIENT_PLUGIN_AUTH |
  CLIENT_DEPRECATE_EOF;
const UTF8MB4 = 45;
/** The default of MySQL's clients. */
const DEFAULT_ZSTD_LEVEL = 3;

export function asksForTls(bytes: Uint8Array, from: number, to: number): boolean {
  return to - from === TLS_REQUEST_BYTES && (new Reader(bytes, from, to).integer(4) & CLIENT_SSL) !== 0;
}

/** Reads the payload of a login; throws Malformed. */
export function readLogin(bytes: Uint8Array, from: number, to: number): Login {
  const reader = new Reader(bytes, from, to);
  const capabilities = reader.integer(4);
  if (!(capabilities & CLIENT_PROTOCOL_41)) throw new Malformed("a login from before MySQL 4.1");
  const mostPacket = reader.integer(4);
  const charset = reader.integer(1);
  reader.view(19);
  const upper = reader.integer(4);
  const user = text(reader.terminated());
  const hasNoPassword = skipResponse(reader, capabilities);
  const database =
    capabilities & CLIENT_CONNECT_WITH_DB && reader.left > 0
      ? reader.terminated().slice()
      : new Uint8Array(0);
  if (capabilities & CLIENT_PLUGIN_AUTH && reader.left > 0) reader.terminated();
  const attributes = readAttributes(reader, capabilities);
  const level = capabilities & CLIENT_ZSTD && reader.left > 0 ? reader.integer(1) : 0;
  return {
    capabilities,
    mariadb: capabilities & CLIENT_LONG_PASSWORD ? 0 : upper,
    mostPacket,
    charset,
    user,
    hasNoPassword,
    database,
    attributes,
    level,
  };
}

/** Skips the authentication response; returns whether it is that of an empty password. */
function skipResponse(reader: Reader, capabilities: number): boolean {
  let response: Uint8Array;
  if (capabilities & CLIENT_PLUGIN_AUTH_LENENC) response = reader.view(reader.lengthEncoded());
  else if (capabilities & CLIENT_SECURE_CONNECTION) response = reader.view(reader.integer(1));
  else response = reader.terminated();
  // sha256_password sends a 0 for an empty password.
  return response.length === 0 || (response.length === 1 && response[0] === 0);
}

function readAttributes(reader: Reader, capabilities: number): Uint8Array {
  if (!(capabilities & CLIENT_CONNECT_ATTRS) || reader.left === 0) return new Uint8Array(0);
  const from = reader.at;
  const length = reader.lengthEncoded();
  const bytes = reader.at - from + length;
  reader.at = from;
  return reader.view(bytes).slice();
}

/** A login for a session whose own was not captured. */
export function ownLogin(user: string, database: Uint8Array): Login {
  return {
    capabilities: DEFAULT_CAPABILITIES,
    mariadb: 0,
    mostPacket: 1 << 24,
    charset: UTF8MB4,
    user,
    hasNoPassword: false,
    database,
    attributes: new Uint8Array(0),
    level: 0,
  };
}

/** The capabilities for the target: those that client and target both have, and those that we always need. */
export function agree(login: Login, greeting: Greeting): number {
  let both = login.capabilities & greeting.capabilities & ~NOT_OURS;
  if (both & CLIENT_COMPRESS) both &= ~CLIENT_ZSTD;
  // The lowest bit tells MySQL (CLIENT_LONG_PASSWORD) from MariaDB: it must be the target's.
  return (
    ((both & ~CLIENT_LONG_PASSWORD) |
      ALWAYS |
      (greeting.capabilities & (CLIENT_LONG_PASSWORD | CLIENT_PLUGIN_AUTH))) >>>
    0
  );
}

/** The upper half of MariaDB's capabilities for the target. */
export function agreeMariadb(login: Login, greeting: Greeting): number {
  return login.mariadb & greeting.mariadb & ~MARIADB_PROGRESS;
}

/** The packet of a login at the target. `database`: empty for none. `response`: the plugin's answer to the target's challenge. */
export function writeLogin(
  login: Login,
  greeting: Greeting,
  user: string,
  database: Uint8Array,
  plugin: string,
  response: Uint8Array,
  sequence: number,
): Uint8Array {
  let capabilities = agree(login, greeting);
  if (database.length > 0) capabilities |= CLIENT_CONNECT_WITH_DB;
  if (login.attributes.length === 0) capabilities &= ~CLIENT_CONNECT_ATTRS;
  const writer = new Writer()
    .integer(capabilities >>> 0, 4)
    .integer(login.mostPacket, 4)
    .integer(login.charset, 1)
    .zeros(19)
    .integer(capabilities & CLIENT_LONG_PASSWORD ? 0 : agreeMariadb(login, greeting) >>> 0, 4)
    .put(Buffer.from(user, "latin1"))
    .zeros(1);
  if (capabilities & CLIENT_PLUGIN_AUTH_LENENC) writer.lengthEncoded(response.length);
  else writer.integer(response.length, 1);
  writer.put(response);
  if (database.length > 0) writer.put(database).zeros(1);
  if (capabilities & CLIENT_PLUGIN_AUTH) writer.put(Buffer.from(plugin, "latin1")).zeros(1);
  if (capabilities & CLIENT_CONNECT_ATTRS) writer.put(login.attributes);
  if (capabilities & CLIENT_ZSTD) writer.integer(login.level || DEFAULT_ZSTD_LEVEL, 1);
  return writer.packet(sequence);
}

export interface ChangeUser {
  user: string;
  hasNoPassword: boolean;
  database: Uint8Array;
  charset: number;
  attributes: Uint8Array;
}

/** Reads the payload of COM_CHANGE_USER (with the command byte); throws Malformed. `capabilities`: of the client. */
export function readChangeUser(
  bytes: Uint8Array,
  from: number,
  to: number,
  capabilities: number,
): ChangeUser {
  const reader = new Reader(bytes, from, to);
  reader.integer(1);
  const user = text(reader.terminated());
  const response = reader.view(reader.integer(1));
  const database = reader.terminated().slice();
  const charset = reader.left >= 2 ? reader.integer(2) : UTF8MB4;
  if (capabilities & CLIENT_PLUGIN_AUTH && reader.left > 0) reader.terminated();
  const attributes = readAttributes(reader, capabilities);
  return { user, hasNoPassword: response.length === 0, database, charset, attributes };
}

/** The packet of COM_CHANGE_USER for the target. `capabilities`: those agreed with it. */
export function writeChangeUser(
  change: ChangeUser,
  capabilities: number,
  user: string,
  plugin: string,
  response: Uint8Array,
): Uint8Array {
  const writer = new Writer()
    .integer(COM_CHANGE_USER, 1)
    .put(Buffer.from(user, "latin1"))
    .zeros(1)
    .integer(response.length, 1)
    .put(response)
    .put(change.database)
    .zeros(1)
    .integer(change.charset, 2);
  if (capabilities & CLIENT_PLUGIN_AUTH) writer.put(Buffer.from(plugin, "latin1")).zeros(1);
  if (capabilities & CLIENT_CONNECT_ATTRS) {
    if (change.attributes.length > 0) writer.put(change.attributes);
    else writer.integer(0, 1);
  }
  return writer.packet(0);
}
