/** A header and an IP packet, to look for the one after the other. */

/** Bytes as hexadecimal digits, spaces as one likes. */
export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

export const IP4 = "45000014 00010000 40060000 0a000001 0a000002";
/** The same with a checksum that is right, for where it must be IP by its looks. */
export const SUM4 = "45000014 00010000 400666e1 0a000001 0a000002";
export const IP6 =
  "60000000 00003b40 fd000000 00000000 00000000 00000001 fd000000 00000000 00000000 00000002";
export const MACS = "020000000001 020000000002";

/** In a buffer with other bytes around it, so that an offset that is not added shows. */
export function placed(header: string, ip: string): { view: DataView; at: number; end: number; ip: number } {
  const frame = hex(header + ip);
  const bytes = new Uint8Array(new ArrayBuffer(frame.length + 16)).fill(0x45);
  bytes.set(frame, 5);
  return { view: new DataView(bytes.buffer), at: 5, end: 5 + frame.length, ip: 5 + hex(header).length };
}
