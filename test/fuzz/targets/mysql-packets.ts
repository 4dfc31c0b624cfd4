/** MySQL's packets, compressed frames, greetings and logins. */
import { ClientPackets } from "../../../src/protocol/mysql/packets/client-packets.ts";
import {
  beginningOf,
  FRAME_HEADER,
  frame,
  Inflater,
  recognizeFrames,
  unframe,
} from "../../../src/protocol/mysql/packets/compression.ts";
import { isFirstPacket, readGreeting } from "../../../src/protocol/mysql/packets/greeting.ts";
import {
  asksForTls,
  readChangeUser,
  readLogin,
  writeLogin,
} from "../../../src/protocol/mysql/packets/login.ts";
import { PacketStream } from "../../../src/protocol/mysql/packets/packets.ts";
import { integer24, Malformed } from "../../../src/protocol/mysql/packets/reader.ts";
import { greeting } from "../../protocol/server.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { readAmid } from "../surroundings.ts";
import { expectThat, roughly, type Target } from "../target.ts";

/** Bytes of each packet that are collected. */
const MOST = 64;
const HEADER = 4;
const isRefusal = (error: unknown) => error instanceof Malformed;
const GREETING = readGreeting(
  greeting("mysql_native_password"),
  HEADER,
  greeting("mysql_native_password").length,
);

export const target: Target = {
  about:
    "MySQL packets, zlib and zstd frames, greetings, logins: alike in pieces, bounded in memory, logins read as written",
  longest: 2048,
  rounds: 1000,
  words: [
    "\x0a8.4.0\0",
    "mysql_native_password\0",
    "\xfe",
    "\xfb",
    "\xff\xff\xff\xff",
    "\xfd\x00\x00\x01",
    "\x28\xb5\x2f\xfd",
    "\x78\x01",
    "\x8d\xa2\xbf\x01",
    "\x11",
  ],

  take(input) {
    const packets = alikeInPieces(input, packetsOf);
    expectThat(packets === plainPackets(input), () => `${packets}, and should be ${plainPackets(input)}`);
    alikeInPieces(input, clientPacketsOf);
    const frames = checkFrames(input);
    const first = readAmid(input, ({ bytes, from, to }) => `${isFirstPacket(bytes.subarray(from, to))}`);
    const login = readAmid(
      input,
      ({ bytes, from, to }) => `${asksForTls(bytes, from, to)} ${checkLogin(bytes, from, to)}`,
      isRefusal,
    );
    const read = readAmid(
      input,
      ({ bytes, from, to }) => JSON.stringify(readGreeting(bytes, from, to)),
      isRefusal,
    );
    const change = readAmid(
      input,
      ({ bytes, from, to }) => JSON.stringify(readChangeUser(bytes, from, to, 0x1bfa28d)),
      isRefusal,
    );
    return [
      roughly(packets.split(";").length),
      frames,
      first,
      ...[login, read, change].map((one) => one.slice(0, 28)),
    ].join(" ");
  },
};

function alikeInPieces(input: Uint8Array, read: (input: Uint8Array, cut: number[]) => string): string {
  const [whole, ...others] = cutsOf(input).map((cut) => read(input, cut));
  for (const other of others) expectThat(other === whole, () => `In pieces ${other}, whole ${whole}`);
  return whole!;
}

function packetsOf(input: Uint8Array, cut: number[]): string {
  const found: string[] = [];
  const stream = new PacketStream(MOST, (bytes, from, to, length, sequence) => {
    found.push(`${length} ${sequence} ${Buffer.from(bytes.subarray(from, to)).toString("hex")}`);
  });
  feedPieces(input, cut, (bytes, from, to) => stream.take(bytes, from, to));
  return found.join(";");
}

/** The same by the plainest way to read it. */
function plainPackets(input: Uint8Array): string {
  const found: string[] = [];
  let continues = false;
  for (let at = 0; at + HEADER <= input.length; ) {
    const length = integer24(input, at);
    const known = Math.min(length, MOST);
    if (at + HEADER + known > input.length) break;
    const text = Buffer.from(input.subarray(at + HEADER, at + HEADER + known)).toString("hex");
    if (!continues) found.push(`${length} ${input[at + 3]} ${text}`);
    continues = length === 0xffffff;
    at += HEADER + length;
  }
  return found.join(";");
}

function clientPacketsOf(input: Uint8Array, cut: number[]): string {
  const found: string[] = [];
  let rest: Uint8Array = new Uint8Array(0);
  const flush = () => {
    if (rest.length > 0) found.push(`rest ${Buffer.from(rest).toString("hex")}`);
    rest = new Uint8Array(0);
  };
  const packets = new ClientPackets({
    mayBegin: () => true,
    packet: (bytes, at, known, length, sequence) => {
      flush();
      found.push(
        `${length} ${sequence} ${Buffer.from(bytes.subarray(at, at + HEADER + known)).toString("hex")}`,
      );
    },
    rest: (bytes, from, to) => {
      rest = Buffer.concat([rest, bytes.subarray(from, to)]);
    },
  });
  feedPieces(input, cut, (bytes, from, to) => packets.take(bytes, from, to));
  flush();
  return found.join(";");
}

function checkFrames(input: Uint8Array): string {
  const content = input.length < FRAME_HEADER ? 0 : integer24(input, 4);
  const kinds = (["zlib", "zstd"] as const).map((algorithm) => {
    const inflated = alikeInPieces(input, (input, cut) => inflatedOf(algorithm, input, cut));
    const beginning = readAmid(
      input,
      ({ bytes, from, to }) => `${beginningOf(algorithm, bytes, from, to)?.length ?? -1}`,
    );
    expectThat(
      Number(beginning) <= Math.max(content, input.length),
      () => `${beginning} bytes of a frame that says ${content}`,
    );
    // What is written is read again.
    const written = frame(algorithm, input, 0, input.length, 7);
    const again = unframe(algorithm, written, 0, written.length);
    expectThat(
      again !== null && Buffer.compare(again, input) === 0,
      () => `A frame of ${algorithm} is not read as it was written`,
    );
    return `${inflated.slice(0, 4)}${Number(beginning) > 0}`;
  });
  const recognized = readAmid(input, ({ bytes, from, to }) => `${recognizeFrames(bytes, from, to)}`);
  return [...kinds, recognized].join();
}

function inflatedOf(algorithm: "zlib" | "zstd", input: Uint8Array, cut: number[]): string {
  const inflater = new Inflater(algorithm);
  const parts: Uint8Array[] = [];
  let end = "end";
  try {
    feedPieces(input, cut, (bytes, from, to) =>
      inflater.take(bytes, from, to, (part) => parts.push(Uint8Array.from(part))),
    );
  } catch (error) {
    if (!isRefusal(error)) throw error;
    end = "bad";
  }
  return `${end} ${parts.length} ${Buffer.concat(parts).toString("hex")}`;
}

/** A login for the target has what the client's had, as far as both can. */
function checkLogin(bytes: Uint8Array, from: number, to: number): string {
  const login = readLogin(bytes, from, to);
  const written = writeLogin(
    login,
    GREETING,
    login.user,
    login.database,
    "mysql_native_password",
    new Uint8Array(20),
    1,
  );
  const again = readLogin(written, HEADER, written.length);
  const same = (name: "user" | "mostPacket" | "charset") => again[name] === login[name];
  expectThat(
    same("user") && same("mostPacket") && same("charset"),
    () => `${JSON.stringify(login)} is written as ${JSON.stringify(again)}`,
  );
  expectThat(Buffer.compare(again.database, login.database) === 0, () => "Another database is written");
  return `${login.capabilities > 0} ${login.hasNoPassword} ${login.database.length > 0} ${login.attributes.length > 0} ${login.level > 0}`;
}
