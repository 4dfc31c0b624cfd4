/** Where the blocks of a zstd stream end, as recordings may be compressed by it. */
import { constants, zstdCompressSync } from "node:zlib";
import { TraceError } from "../../../src/capture/trace/frame.ts";
import { Window } from "../../../src/capture/trace/window.ts";
import { isZstdMagic, ZstdFrames } from "../../../src/capture/trace/zstd-frames.ts";
import { cutsOf, feedPieces } from "../pieces.ts";
import { expectThat, roughly, type Target } from "../target.ts";

const LIMIT = 3;

export const target: Target = {
  about: "zstd streams: the ends of blocks and frames, alike in pieces; what the library writes is whole",
  longest: 2048,
  rounds: 1500,
  words: ["\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18", "\x01\0\0", "\x03\0\0a", "\x24", "\x20"],

  take(input) {
    const [whole, ...others] = cutsOf(input).map((cut) => measure(input, cut));
    for (const other of others) expectThat(other === whole, () => `In pieces ${other}, whole ${whole}`);
    if (input.length >= 4) isZstdMagic(new DataView(input.buffer, input.byteOffset).getUint32(0));
    checkWritten(input);
    const { isWhole, given, refused } = JSON.parse(whole!) as {
      isWhole: boolean;
      given: number;
      refused: string;
    };
    return `${isWhole} ${roughly(given)} ${refused.replaceAll(/\d+/g, "")}`;
  },
};

function measure(input: Uint8Array, cut: number[]): string {
  const window = new Window(64);
  const frames = new ZstdFrames();
  let given = 0;
  let refused = "";
  try {
    feedPieces(input, cut, (bytes, from, to) => {
      window.push(bytes.subarray(from, to));
      for (;;) {
        const count = frames.measure(window, LIMIT);
        expectThat(count >= 0 && count <= window.available, () => `${count} of ${window.available} bytes`);
        if (count === 0) break;
        given += count;
        window.skip(count);
      }
    });
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    refused = error.message;
  }
  return JSON.stringify({ isWhole: frames.isWhole, given, refused });
}

/** What a library has written is whole, with nothing left, in whatever pieces. */
function checkWritten(input: Uint8Array): void {
  const params = { [constants.ZSTD_c_checksumFlag]: input.length & 1 };
  const written = Uint8Array.from(
    Buffer.concat([input, input.subarray(1)].map((part) => zstdCompressSync(part, { params }))),
  );
  for (const cut of cutsOf(written)) {
    const { isWhole, given, refused } = JSON.parse(measure(written, cut)) as {
      isWhole: boolean;
      given: number;
      refused: string;
    };
    expectThat(
      isWhole && given === written.length && refused === "",
      () => `Of ${written.length} bytes ${given}: ${refused}`,
    );
  }
}
