/** Objects with a program that no kernel takes. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** dist/bpf/NAME.bpf.o, but the first instruction of its programs for tc is r0 = r9, a register that was never written. */
export function refusedObject(name: string): Uint8Array {
  const object = new Uint8Array(readFileSync(join(import.meta.dir, `../../dist/bpf/${name}.bpf.o`)));
  object.set([0xbf, 0x90, 0, 0, 0, 0, 0, 0], sectionOf(object, "tc"));
  return object;
}

/** Offset of an ELF section's bytes in a 64-bit little-endian file. */
function sectionOf(file: Uint8Array, name: string): number {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const headers = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const offsetOf = (index: number) => Number(view.getBigUint64(headers + index * 64 + 24, true));
  const names = offsetOf(view.getUint16(62, true));
  for (let index = 0; index < count; index++) {
    const at = names + view.getUint32(headers + index * 64, true);
    const text = new TextDecoder().decode(file.subarray(at, file.indexOf(0, at)));
    if (text === name) return offsetOf(index);
  }
  throw new Error(`No section "${name}"`);
}
