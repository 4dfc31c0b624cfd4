/** PROXY protocol headers, as clients send them and as xcopy writes them. */
import { isIP } from "node:net";
import {
  MAX_PROXY_HEADER,
  MOST_READ,
  proxyHeaderLength,
  readProxyHeader,
  writeProxyHeader,
} from "../../../src/wire/proxy-protocol.ts";
import { placed, readAmid } from "../surroundings.ts";
import { expectThat, type Target } from "../target.ts";

export const target: Target = {
  about: "PROXY protocol headers of both versions: known as early as they can be, read as written",
  longest: 400,
  rounds: 3000,
  words: [
    "PROXY TCP4 ",
    "PROXY TCP6 ",
    "PROXY UNKNOWN",
    "10.0.0.1 ",
    "2001:db8::1 ",
    "::",
    " 80\r\n",
    "65535",
    "\r\n\r\n\0\r\nQUIT\n",
    "\x21\x11\0\x0c",
    "\x21\x21\0\x24",
    "\x20\0",
  ],

  take(input) {
    const found = readAmid(input, ({ bytes, from, to }) => `${proxyHeaderLength(bytes, from, to)}`);
    const length = Number(found);
    expectThat(
      length >= -1 && length <= Math.min(input.length, MOST_READ),
      () => `A header of ${length} bytes of ${input.length}`,
    );
    checkPrefixes(input, length);
    checkWritten(input);
    return length > 0 ? readOne(input, length) : length;
  },
};

/** What is decided is decided for good: each beginning is either not enough to tell, or has the same answer. */
function checkPrefixes(input: Uint8Array, length: number): void {
  let decided = 0;
  for (let to = 0; to <= input.length; to++) {
    const { bytes, from } = placed(input.subarray(0, to), 0x0a, 8);
    const now = proxyHeaderLength(bytes, from, from + to);
    expectThat(decided === 0 || now === decided, () => `Of ${to} bytes it is ${now}, of fewer ${decided}`);
    decided = now;
  }
  expectThat(decided === length, () => `${decided} and ${length}`);
}

function readOne(input: Uint8Array, length: number): string {
  const text = Buffer.from(input.subarray(0, length)).toString("latin1");
  const said = readAmid(input.subarray(0, length), ({ bytes, from }) => {
    const words = new Int32Array(8);
    const ports = readProxyHeader(bytes, from, length, words);
    return ports === null ? "none" : `${[...words, ...ports]}`;
  });
  const line = /^PROXY TCP([46]) (\S+) (\S+) (\d+) (\d+)\r\n$/.exec(text);
  if (said === "none") return text.startsWith("PROXY") ? "line without" : "binary without";
  if (!line) return "binary";
  for (const address of [line[2]!, line[3]!])
    expectThat(
      isIP(address) === Number(line[1]),
      () => `"${address}" is read as an address of TCP${line[1]}`,
    );
  for (const port of [line[4]!, line[5]!]) expectThat(Number(port) <= 65535, () => `Port ${port} is read`);
  // Of the bytes the reader has to make what it was written from.
  const words = new Int32Array(8);
  const [source, destination] = readProxyHeader(input, 0, length, words)!;
  for (const version of [1, 2] as const) expectSame(words, source, destination, version);
  return `line ${line[1]}`;
}

/** What xcopy writes for any addresses and ports is read as the same. */
function checkWritten(input: Uint8Array): void {
  const bytes = new Uint8Array(40);
  bytes.set(input.subarray(0, 40));
  const words = new Int32Array(bytes.buffer.slice(0, 32));
  if (bytes[36]! & 1) words.set([0, 0, 0xffff], 0);
  if (bytes[36]! & 2) words.set([0, 0, 0xffff], 4);
  const ports = new Uint16Array(bytes.buffer, 32, 2);
  for (const version of [1, 2] as const) expectSame(words, ports[0]!, ports[1]!, version);
}

function expectSame(words: Int32Array, source: number, destination: number, version: 1 | 2): void {
  const into = new Uint8Array(new ArrayBuffer(MAX_PROXY_HEADER + 8)).fill(0xee);
  const length = writeProxyHeader(into, version, words, 0, 4, source, destination);
  expectThat(
    into.subarray(length).every((byte) => byte === 0xee),
    () => "It writes behind its header",
  );
  expectThat(
    proxyHeaderLength(into, 0, length) === length,
    () => `A written header of ${length} bytes is none`,
  );
  const read = new Int32Array(8);
  const ports = readProxyHeader(into, 0, length, read);
  expectThat(
    ports !== null && Bun.deepEquals([...ports, ...read], [source, destination, ...words]),
    () => `Written ${[...words, source, destination]}, read ${[...read, ...(ports ?? [])]}`,
  );
}
