/** A server of MySQL that a test plays: greets, takes a login, answers commands; as its script says. */
import { Writer } from "../../src/protocol/mysql/packets/writer.ts";

export const SCRAMBLE = Uint8Array.from({ length: 20 }, (_, index) => index + 1);

/** What all servers of today can, but for TLS. */
export const CAPABILITIES = 0x81ff_f7df & ~0x0800;

export function greeting(
  plugin: string,
  { scramble = SCRAMBLE, capabilities = CAPABILITIES, version = "8.4.0" } = {},
): Uint8Array {
  return new Writer()
    .integer(10, 1)
    .put(Buffer.from(`${version}\0`))
    .integer(7, 4)
    .put(scramble.subarray(0, 8))
    .zeros(1)
    .integer(capabilities & 0xffff, 2)
    .integer(45, 1)
    .integer(2, 2)
    .integer((capabilities >>> 16) & 0xffff, 2)
    .integer(scramble.length + 1, 1)
    .zeros(10)
    .put(scramble.subarray(8))
    .zeros(1)
    .put(Buffer.from(`${plugin}\0`))
    .packet(0);
}

export const ok = (sequence: number, status = 2): Uint8Array =>
  new Writer().integer(0, 3).integer(status, 2).zeros(2).packet(sequence);

export const error = (sequence: number, code: number, message: string): Uint8Array =>
  new Writer()
    .integer(0xff, 1)
    .integer(code, 2)
    .put(Buffer.from(`#28000${message}`))
    .packet(sequence);

/** `hasEnd`: a 0 follows the scramble. */
export const switchTo = (
  sequence: number,
  plugin: string,
  scramble: Uint8Array = SCRAMBLE,
  hasEnd = true,
): Uint8Array =>
  new Writer()
    .integer(0xfe, 1)
    .put(Buffer.from(`${plugin}\0`))
    .put(scramble)
    .zeros(hasEnd ? 1 : 0)
    .packet(sequence);

export const moreData = (sequence: number, data: Uint8Array): Uint8Array =>
  new Writer().integer(1, 1).put(data).packet(sequence);

/** A result of one column and so many rows; with EOF packets, as before CLIENT_DEPRECATE_EOF, or without. */
export function result(rows: number, hasEofs: boolean, more = false): Uint8Array {
  let sequence = 1;
  const status = more ? 10 : 2;
  const eof = (first: boolean) =>
    new Writer()
      .integer(0xfe, 1)
      .zeros(2)
      .integer(first ? 2 : status, 2)
      .packet(sequence++);
  const end = () =>
    hasEofs
      ? eof(false)
      : new Writer().integer(0xfe, 1).zeros(2).integer(status, 2).zeros(2).packet(sequence++);
  const column = new Writer().put(Buffer.from("\x03def\x00\x00\x00\x01a\x00")).zeros(13);
  const parts = [new Writer().integer(1, 1).packet(sequence++), column.packet(sequence++)];
  if (hasEofs) parts.push(eof(true));
  for (let row = 0; row < rows; row++)
    parts.push(new Writer().lengthEncoded(3).put(Buffer.from("abc")).packet(sequence++));
  parts.push(end());
  return Uint8Array.from(Buffer.concat(parts));
}

/** The answer to COM_STMT_PREPARE, for a statement without parameters and columns, or with one of each. */
export function prepared(statement: number, count: 0 | 1, hasEofs: boolean): Uint8Array {
  const parts = [
    new Writer().integer(0, 1).integer(statement, 4).integer(count, 2).integer(count, 2).zeros(3).packet(1),
  ];
  let sequence = 2;
  for (let list = 0; list < 2 && count > 0; list++) {
    parts.push(new Writer().put(Buffer.from("\x03def\x00\x00\x00\x01?\x00")).zeros(13).packet(sequence++));
    if (hasEofs) parts.push(new Writer().integer(0xfe, 1).zeros(4).packet(sequence++));
  }
  return Uint8Array.from(Buffer.concat(parts));
}

/** A client's login, as the command line client of MySQL 8 writes it. */
export function login(
  user: string,
  { capabilities = 0x01bf_a28d & ~0x0800, database = "shop", response = 20 } = {},
): Uint8Array {
  return new Writer()
    .integer(capabilities, 4)
    .integer(1 << 24, 4)
    .integer(45, 1)
    .zeros(23)
    .put(Buffer.from(`${user}\0`))
    .lengthEncoded(response)
    .put(new Uint8Array(response).fill(0x55))
    .put(Buffer.from(`${database}\0mysql_native_password\0`))
    .lengthEncoded(6)
    .put(Buffer.from("\x02os\x02ux"))
    .packet(1);
}

export const command = (code: number, ...rest: (Uint8Array | string)[]): Uint8Array => {
  const writer = new Writer().integer(code, 1);
  for (const part of rest) writer.put(typeof part === "string" ? Buffer.from(part) : part);
  return writer.packet(0);
};

export const number32 = (value: number): Uint8Array =>
  Uint8Array.from(new Uint8Array(new Uint32Array([value]).buffer));
