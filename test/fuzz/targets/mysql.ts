/** Whole sessions of MySQL: whatever client and target send, nothing reaches a read-only target that a plain reader knows to write. */
import { PacketStream } from "../../../src/protocol/mysql/packets/packets.ts";
import { Malformed } from "../../../src/protocol/mysql/packets/reader.ts";
import { judge } from "../../../src/protocol/mysql/sql/sql.ts";
import { open, ready } from "../../protocol/open.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { hashOf } from "../random.ts";
import { expectThat, roughly, type Target } from "../target.ts";

/** Between what the client sends and what the target does: what stands before it says who begins the next part. */
const SIDE = Uint8Array.from(Buffer.from("\xee\xeb\xee\xeb", "latin1"));
const COM_QUERY = 3;
const COM_STMT_PREPARE = 0x16;

export const target: Target = {
  about:
    "MySQL sessions from greeting to quit: only malformed packets end them, and a read-only target gets nothing that writes",
  longest: 2048,
  rounds: 1200,
  words: [
    SIDE,
    "\x01\0\0\0\x01",
    "\x09\0\0\0\x03SELECT 1",
    "\x0e\0\0\0\x16SELECT ?, 'a'",
    "\x07\0\0\x01\0\0\0\x02\0\0\0",
    "\x0a\0\0\0\x17\x01\0\0\0\0\x01\0\0\0",
    "\x01\0\0\0\x1f",
    "\x02\0\0\0\x02a",
    "INSERT INTO t",
    "DROP TABLE t",
    "\x05\0\0\x03\xfe\0\0\x02\0",
    "\xff\x10\x04#28000no",
  ],

  take(input) {
    const isReady = (hashOf(input) & 1) === 0;
    const results = cutsOf(input, 2).map((cut) => play(input, cut, isReady));
    return results[0]!;
  },
};

function play(input: Uint8Array, cut: number[], isReady: boolean): string {
  const { host, count } = isReady ? ready({ readOnly: true }) : open({ readOnly: true });
  if (!isReady) host.connect();
  let end = "";
  let isClient = isReady;
  try {
    for (const part of partsOf(input)) {
      feedPieces(part, cutTo(cut, part.length), (bytes, from, to) => {
        if (host.isRefused || host.hasGivenUp || host.handedOver) return;
        if (isClient) host.session.request(bytes, from, to, false, from === 5, 0, 0, 0);
        else host.session.response(bytes, from, to, 0, 0);
      });
      isClient = !isClient;
      if (!host.isRefused && !host.hasGivenUp) host.request(new Uint8Array(0));
    }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    end = error.message;
  }
  expectThat(host.handedOver === null, () => "A session of MySQL is handed over");
  checkSent(Buffer.concat(host.sent));
  return [
    end,
    isReady,
    host.isRefused,
    host.hasGivenUp,
    roughly(host.sent.length),
    host.dropped > 0,
    host.leftOut > 0,
    count("mysql.logins"),
  ].join(" ");
}

/** The pieces of a cut that make `length` bytes, from its beginning on. */
function cutTo(cut: number[], length: number): number[] {
  const pieces: number[] = [];
  let rest = length;
  for (let i = 0; rest > 0; i++) {
    pieces.push(Math.min(rest, cut[i % cut.length]!));
    rest -= pieces.at(-1)!;
  }
  return pieces;
}

function partsOf(input: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const bytes = Buffer.from(input);
  let from = 0;
  for (let at = bytes.indexOf(SIDE); at >= 0; at = bytes.indexOf(SIDE, from)) {
    parts.push(input.subarray(from, at));
    from = at + SIDE.length;
  }
  return [...parts, input.subarray(from)];
}

/** Every statement that was sent only reads. */
function checkSent(sent: Uint8Array): void {
  const stream = new PacketStream(65_536, (bytes, from, to, length, sequence) => {
    if (sequence !== 0 || length === 0 || (bytes[from] !== COM_QUERY && bytes[from] !== COM_STMT_PREPARE))
      return;
    const { effects } = judge(bytes, from + 1, to);
    const text = Buffer.from(bytes.subarray(from + 1, to)).toString("latin1");
    expectThat(
      !/^\s*(INSERT|UPDATE|DELETE|REPLACE|DROP|CREATE|ALTER|TRUNCATE)\b/i.test(text),
      () => `Sent: ${JSON.stringify(text)}`,
    );
    expectThat(effects === 0, () => `Sent, with effects ${effects}: ${JSON.stringify(text)}`);
  });
  stream.take(sent, 0, sent.length);
}
