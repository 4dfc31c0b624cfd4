/** Heads of HTTP/1.1 messages: where they end, and how long the body is (RFC 9112 sections 2, 6). */

/** Most bytes of a head; what is longer is not taken for HTTP/1.1. */
export const LONGEST_HEAD = 65536;

const LF = 10;
const CR = 13;

/** Index after the empty line that ends the head that begins at `from`; -1 if it is not complete. */
export function endOfHead(bytes: Uint8Array, from: number, to: number): number {
  for (let at = bytes.indexOf(LF, from); at >= 0 && at < to; at = bytes.indexOf(LF, at + 1)) {
    if (at + 1 < to && bytes[at + 1] === LF) return at + 2;
    if (at + 2 < to && bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return -1;
}

/** What follows the head of a message. */
export interface Framing {
  /** Bytes of the body; -1: in chunks; -2: no field says it (RFC 9112 section 6.3). */
  length: number;
  /** Whether there is an `Upgrade` field. */
  upgrades: boolean;
  /** Whether the client wants to be told to send the body: `Expect: 100-continue` (RFC 9110 section 10.1.1). */
  expects: boolean;
}

const decoder = new TextDecoder("latin1");

/** Reads the head from `from` to `to`: its first line and framing; null if the first line does not match `first`. */
export function readHead(
  bytes: Uint8Array,
  from: number,
  to: number,
  first: RegExp,
): { line: RegExpExecArray; framing: Framing } | null {
  const lines = decoder.decode(bytes.subarray(from, to)).split(/\r?\n/);
  // Empty lines before a request must be ignored (RFC 9112 section 2.2).
  while (lines[0] === "") lines.shift();
  const line = first.exec(lines[0] ?? "");
  if (!line) return null;
  const framing: Framing = { length: -2, upgrades: false, expects: false };
  for (const field of lines.slice(1)) {
    const colon = field.indexOf(":");
    if (colon < 0) continue;
    const value = field.slice(colon + 1).trim();
    switch (field.slice(0, colon).toLowerCase()) {
      case "transfer-encoding":
        framing.length = -1;
        break;
      case "content-length":
        // Transfer-Encoding overrides Content-Length (RFC 9112 section 6.3).
        if (framing.length !== -1 && /^[0-9]{1,15}$/.test(value)) framing.length = Number(value);
        break;
      case "upgrade":
        framing.upgrades = true;
        break;
      case "expect":
        framing.expects ||= /(^|[\s,])100-continue($|[\s,])/i.test(value);
    }
  }
  return { line, framing };
}
