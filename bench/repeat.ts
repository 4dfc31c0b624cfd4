/** Makes large recordings of real traffic: repeats a small one, each time with other client ports. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET = 14;
/** Steps of ports between two repetitions, prime to the number of ports. */
const STRIDE = 997;

/**
 * Writes the pcap file `from` (little-endian, microseconds, Ethernet, IPv4 without options) to `to` until that has `bytes`
 * bytes at least. Each repetition is one `period` (us) later and has other ports, except `service`; TCP checksums stay as
 * they are. Returns the number of repetitions.
 */
export function repeatRecording(
  from: string,
  to: string,
  { bytes, period, service }: { bytes: number; period: number; service: number },
): number {
  const recording = readFileSync(from);
  const view = new DataView(recording.buffer, recording.byteOffset, recording.length);
  if (view.getUint32(0, true) !== 0xa1b2c3d4) throw new Error(`${from} is no little-endian pcap file`);
  const fd = openSync(to, "w");
  try {
    writeSync(fd, recording, 0, FILE_HEADER);
    let times = 0;
    for (let written = FILE_HEADER; written < bytes; times++) {
      if (times > 0) forEachRecord(view, (at) => shift(view, at, period, service));
      written += writeSync(fd, recording, FILE_HEADER);
    }
    return times;
  } finally {
    closeSync(fd);
  }
}

function forEachRecord(view: DataView, take: (at: number) => void): void {
  for (let at = FILE_HEADER; at < view.byteLength; at += RECORD_HEADER + view.getUint32(at + 8, true))
    take(at);
}

function shift(view: DataView, at: number, period: number, service: number): void {
  const us = view.getUint32(at, true) * 1e6 + view.getUint32(at + 4, true) + period;
  view.setUint32(at, Math.floor(us / 1e6), true);
  view.setUint32(at + 4, us % 1e6, true);
  const tcp = at + RECORD_HEADER + ETHERNET + 20;
  for (const port of [tcp, tcp + 2]) {
    const number = view.getUint16(port);
    if (number !== service) view.setUint16(port, 1024 + ((number - 1024 + STRIDE) % 64_000));
  }
}
