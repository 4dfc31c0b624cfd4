/** The server's first packet (Protocol::HandshakeV10). */
import { CLIENT_LONG_PASSWORD, CLIENT_PLUGIN_AUTH, CLIENT_SECURE_CONNECTION } from "./constants.ts";
import { Malformed, Reader, text } from "./reader.ts";

export interface Greeting {
  version: string;
  capabilities: number;
  /** MariaDB's upper half; 0 of others. */
  mariadb: number;
  charset: number;
  /** 20 bytes, or more for MariaDB's ed25519. */
  scramble: Uint8Array;
  plugin: string;
}

const VERSION_10 = 10;

/** Reads a payload; throws Malformed. */
export function readGreeting(bytes: Uint8Array, from: number, to: number): Greeting {
  const reader = new Reader(bytes, from, to);
  if (reader.integer(1) !== VERSION_10) throw new Malformed("no greeting of MySQL");
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
    // At least 13 bytes, the last of which ends the string.
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
