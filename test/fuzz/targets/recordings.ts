/** What `xcopy record` writes, read again by the reader of recordings. */
import { Frame } from "../../../src/capture/trace/frame.ts";
import { TraceParser } from "../../../src/capture/trace/parser.ts";
import { Window } from "../../../src/capture/trace/window.ts";
import { Blocks, INBOUND, LARGEST_OTHER, OUTBOUND, PACKET_OVERHEAD } from "../../../src/record/pcapng.ts";
import { expectThat, roughly, type Target } from "../target.ts";

const CAPACITY = 1 << 20;
const MOST_STEPS = 40;

interface Written {
  time: number;
  interface: number;
  length: number;
  data: Buffer;
}

export const target: Target = {
  about:
    "files of xcopy record: any packets, names and comments are read as they were written, also of a write that was cut short",
  longest: 2048,
  rounds: 800,
  words: ["eth0", "10.0.0.1:80", "\xff\xff\xff\xff"],

  take(input) {
    const blocks = new Blocks(CAPACITY);
    const view = new DataView(input.buffer, input.byteOffset, input.length);
    const texts = Array.from({ length: 4 }, (_, i) =>
      Buffer.from(input.subarray(i * 8, i * 40)).toString("latin1"),
    );
    blocks.section({ hardware: texts[0]!, os: texts[1]!, application: texts[2]!, comments: texts.slice(2) });
    blocks.interface(texts[0]!, texts[3]!, 0);
    blocks.interface("", "", 65536);
    const written: Written[] = [];
    let at = 0;
    for (let step = 0; step < MOST_STEPS && at + 8 <= input.length; step++) {
      const kind = input[at]!;
      const count = Math.min(input[at + 1]!, input.length - at - 8);
      const time = view.getUint32(at + 2) * (kind & 2 ? 1 : 2 ** 20) + input[at + 6]!;
      const length = count + input[at + 7]!;
      if (kind % 7 === 0) {
        blocks.statistics(kind & 1, {
          start: time,
          end: time + 1,
          received: time,
          dropped: count,
          delivered: length,
          comments: [texts[1]!],
        });
      } else {
        const direction = [0, INBOUND, OUTBOUND][kind % 3]!;
        blocks.packet(kind & 1, time, direction, input, at + 8, count, length);
        written.push({
          time,
          interface: kind & 1,
          length,
          data: Buffer.from(input.subarray(at + 8, at + 8 + count)),
        });
      }
      at += 8 + count;
    }
    expectThat(blocks.hasRoom(LARGEST_OTHER + PACKET_OVERHEAD), () => `${blocks.length} bytes written`);
    check(blocks, blocks.length, written);
    const cut = blocks.wholeWithin(input.length > 0 ? (blocks.length * input.at(-1)!) / 255 : 0);
    expectThat(cut <= blocks.length && cut >= 0, () => `${cut} bytes are whole`);
    if (cut > 0) check(blocks, cut, written.slice(0, blocks.packetsWithin(cut)));
    return `${roughly(written.length)} ${roughly(blocks.length)}`;
  },
};

function check(blocks: Blocks, length: number, written: Written[]): void {
  const window = new Window(64);
  window.push(blocks.bytes.subarray(0, length));
  const parser = new TraceParser(window);
  const frame = new Frame();
  let count = 0;
  for (; parser.next(frame); count++) {
    const expected = written[count];
    const { time, linkType, start, end, bytes } = frame;
    const data = Buffer.from(bytes.subarray(start, end));
    const isSame =
      expected?.time === time && expected.interface === frame.interface && expected.length === frame.length;
    expectThat(
      isSame && data.equals(expected.data) && linkType === 101,
      () => `Packet ${count}: ${time}, ${frame.length} bytes; written: ${JSON.stringify(expected)}`,
    );
  }
  parser.finish();
  expectThat(count === written.length, () => `${count} packets read, ${written.length} written`);
}
