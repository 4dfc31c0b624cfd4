/** Large traces: an Ethernet pcap file of TCP segments of many clients. */
import { closeSync, openSync, writeSync } from "node:fs";

const CLIENTS = 1000;

/**
 * Writes about `bytes` bytes and returns how many. Segments have `payload` bytes of half random content and are a
 * millisecond / 100 apart; one in `every` goes to 10.0.0.1:80, the others to 10.0.0.2:81.
 */
export function writeTrace(
  path: string,
  { bytes, payload, every }: { bytes: number; payload: number; every: number },
): number {
  const frame = 14 + 20 + 20 + payload;
  const record = 16 + frame;
  const perChunk = Math.max(1, Math.floor(4_000_000 / record));
  const chunk = new Uint8Array(perChunk * record);
  const view = new DataView(chunk.buffer);
  for (let i = 0; i < chunk.length; i++) chunk[i] = i & 1 ? 0x41 : Math.imul(i, 2654435761) >>> 13;
  const fd = openSync(path, "w");
  try {
    const header = new DataView(new ArrayBuffer(24));
    header.setUint32(0, 0xa1b2c3d4, true);
    header.setUint16(4, 2, true);
    header.setUint16(6, 4, true);
    header.setUint32(16, 262144, true);
    header.setUint32(20, 1, true);
    writeSync(fd, header);
    let written = 24;
    for (let number = 0; written < bytes; ) {
      for (let place = 0; place < perChunk; place++, number++) {
        writeRecord(view, place * record, frame, number, number % every === 0);
      }
      writeSync(fd, chunk);
      written += chunk.length;
    }
    return written;
  } finally {
    closeSync(fd);
  }
}

function writeRecord(view: DataView, at: number, frame: number, number: number, wanted: boolean): void {
  const us = number * 10;
  view.setUint32(at, 1_700_000_000 + Math.floor(us / 1e6), true);
  view.setUint32(at + 4, us % 1e6, true);
  view.setUint32(at + 8, frame, true);
  view.setUint32(at + 12, frame, true);
  view.setUint16(at + 28, 0x0800);
  const ip = at + 30;
  view.setUint32(ip, 0x45000000 | (frame - 14));
  view.setUint32(ip + 4, (number << 16) | 0x4000);
  view.setUint32(ip + 8, 0x40060000);
  view.setUint32(ip + 12, 0x0a010000 + (number % CLIENTS));
  view.setUint32(ip + 16, wanted ? 0x0a000001 : 0x0a000002);
  view.setUint32(ip + 20, (40_000 << 16) | (wanted ? 80 : 81));
  view.setUint32(ip + 24, Math.floor(number / CLIENTS) * (frame - 54));
  view.setUint32(ip + 28, 1);
  view.setUint32(ip + 32, 0x5018ffff);
  view.setUint32(ip + 36, 0);
}
