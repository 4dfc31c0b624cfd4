/** What is recognized by first bytes: protocols that no copy works of, QUIC, and the mappings of Multipath TCP. */
import { isQuic } from "../../../src/datagram/quic.ts";
import { mappingShift } from "../../../src/engine/sessions/mptcp.ts";
import { recognizeSecured } from "../../../src/engine/sessions/secured.ts";
import { Packet } from "../../../src/wire/packet.ts";
import { GuardedView, readAmid } from "../surroundings.ts";
import { expectThat, type Target } from "../target.ts";

/** What a 32-byte hash of 8 bytes is here. */
const hashed = (bytes: Uint8Array) => Uint8Array.from({ length: 32 }, (_, i) => bytes[i % 8]! ^ i);

export const target: Target = {
  about: "first bytes: TLS, SSH, logins that answer a challenge, QUIC, mappings of Multipath TCP",
  longest: 1100,
  rounds: 5000,
  words: [
    "\x16\x03\x01\x02\0\x01",
    "p\0\0\0\x36SCRAM-SHA-256\0",
    "p\0\0\0\x28md5",
    "SSH-2.0-",
    "AUTH CRAM-MD5",
    "a AUTHENTICATE NTLM",
    "SCRAM-SHA-",
    "\xdd\x07\0\0",
    "\x0d\xa2\x08\0",
    "\x1e\x14\x20\x04",
    "\xc0\0\0\0\x01\x08",
  ],

  take(input) {
    const secured = readAmid(input, ({ bytes, from, to }) => `${recognizeSecured(bytes, from, to)}`);
    const quic = readAmid(input, ({ bytes, from, to }) => `${isQuic(bytes, from, to - from)}`);
    return `${secured} ${quic} ${readAmid(input, readMapping)}`;
  },
};

/** Whoever calls it has seen that the option is there, with the length that it says. */
function readMapping({
  bytes,
  view,
  from,
  to,
}: {
  bytes: Uint8Array;
  view: DataView;
  from: number;
  to: number;
}): string {
  const length = bytes[from + 1]!;
  if (to - from < 4 || bytes[from + 2]! > 0x2f || length < 4 || from + length > to) return "no option";
  const packet = new Packet(bytes);
  packet.view = new GuardedView({ bytes, view, from, to: from + length });
  const shifts = [mappingShift(packet, from), mappingShift(packet, from, hashed)];
  for (const shift of shifts)
    expectThat(Number.isNaN(shift) || shift === (shift | 0), () => `A shift of ${shift}`);
  return shifts.map((shift) => Number.isNaN(shift)).join();
}
