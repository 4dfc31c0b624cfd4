/** A reader of pcapng files for tests, apart from the writer: what stands in the blocks, little endian only. */
import { readFileSync } from "node:fs";
import { zstdDecompressSync } from "node:zlib";

export interface PcapngPacket {
  interface: number;
  /** us since 1970. */
  time: number;
  length: number;
  bytes: Uint8Array;
  flags: number | null;
}

export interface PcapngStatistics {
  interface: number;
  start: number;
  end: number;
  received: number;
  dropped: number;
  delivered: number;
  comments: string[];
}

export interface PcapngFile {
  comments: string[];
  application: string;
  interfaces: { name: string; linkType: number; snaplen: number; resolution: number; filter: string }[];
  packets: PcapngPacket[];
  statistics: PcapngStatistics[];
  /** Bytes behind the last whole block. */
  rest: number;
}

/** Reads a file (`.zst` decompressed) or bytes. Throws where a whole block is not what it should be. */
export function readPcapng(source: string | Uint8Array): PcapngFile {
  const raw = typeof source === "string" ? readFileSync(source) : source;
  const isCompressed = typeof source === "string" && source.endsWith(".zst");
  // Not a Buffer, whose slice() is no copy.
  const bytes = new Uint8Array(isCompressed ? zstdDecompressSync(raw) : raw);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const file: PcapngFile = {
    comments: [],
    application: "",
    interfaces: [],
    packets: [],
    statistics: [],
    rest: 0,
  };
  let at = 0;
  while (at + 12 <= bytes.length) {
    const size = view.getUint32(at + 4, true);
    if (at + size > bytes.length) break;
    if (size % 4 !== 0 || view.getUint32(at + size - 4, true) !== size)
      throw new Error(`A broken block at ${at}`);
    readBlock(file, view, bytes, at, size);
    at += size;
  }
  file.rest = bytes.length - at;
  return file;
}

function readBlock(file: PcapngFile, view: DataView, bytes: Uint8Array, at: number, size: number): void {
  const end = at + size - 4;
  const word = (offset: number) => view.getUint32(at + offset, true);
  const time = (offset: number) => view.getUint32(offset, true) * 2 ** 32 + view.getUint32(offset + 4, true);
  const options = (from: number) => readOptions(view, bytes, at + from, end);
  const type = word(0);
  if (type === 0x0a0d0d0a) {
    if (word(8) !== 0x1a2b3c4d || word(12) !== 1) throw new Error("A section of another version");
    const found = options(24);
    file.comments = texts(found, 1);
    file.application = texts(found, 4)[0]!;
  } else if (type === 1) {
    const found = options(16);
    file.interfaces.push({
      linkType: view.getUint16(at + 8, true),
      snaplen: word(12),
      name: texts(found, 2)[0]!,
      resolution: found.find(([code]) => code === 9)![1][0]!,
      filter: texts(found, 11)[0]!,
    });
  } else if (type === 6) {
    const captured = word(20);
    const found = options(28 + ((captured + 3) & ~3));
    const flags = found.find(([code]) => code === 2)?.[1];
    file.packets.push({
      interface: word(8),
      time: time(at + 12),
      length: word(24),
      bytes: bytes.slice(at + 28, at + 28 + captured),
      flags: flags ? flags[0]! : null,
    });
  } else if (type === 5) {
    const found = options(20);
    const value = (code: number) => found.find(([other]) => other === code)![1];
    const count = (code: number) =>
      Number(new DataView(value(code).buffer, value(code).byteOffset).getBigUint64(0, true));
    const timeOf = (code: number) => time(value(code).byteOffset - bytes.byteOffset);
    file.statistics.push({
      interface: word(8),
      start: timeOf(2),
      end: timeOf(3),
      received: count(4),
      dropped: count(5),
      delivered: count(8),
      comments: texts(found, 1),
    });
  } else {
    throw new Error(`A block of type ${type}`);
  }
}

function readOptions(view: DataView, bytes: Uint8Array, at: number, end: number): [number, Uint8Array][] {
  const found: [number, Uint8Array][] = [];
  while (at + 4 <= end) {
    const code = view.getUint16(at, true);
    const size = view.getUint16(at + 2, true);
    if (code === 0) break;
    found.push([code, bytes.subarray(at + 4, at + 4 + size)]);
    at += 4 + ((size + 3) & ~3);
  }
  return found;
}

function texts(options: [number, Uint8Array][], code: number): string[] {
  return options.filter(([other]) => other === code).map(([, value]) => new TextDecoder().decode(value));
}
