/** Trace files laid byte by byte. */

export interface Laid {
  /** us since 1970. */
  time?: number;
  data: Uint8Array;
  /** Bytes on the wire, if not all were captured. */
  length?: number;
  interface?: number;
}

export interface PcapForm {
  isLittle?: boolean;
  magic?: number;
  linkType?: number;
  snaplen?: number;
}

export const MICROSECONDS = 0xa1b2c3d4;
export const NANOSECONDS = 0xa1b23c4d;
export const MODIFIED = 0xa1b2cd34;

/** Fields of 1, 2 or 4 bytes in the file's byte order; arrays as they are. */
type Field = [bytes: 2 | 4, value: number] | Uint8Array;

export function lay(isLittle: boolean, ...fields: Field[]): Uint8Array {
  const parts = fields.map((field) => {
    if (field instanceof Uint8Array) return field;
    const [bytes, value] = field;
    const view = new DataView(new ArrayBuffer(bytes));
    if (bytes === 2) view.setUint16(0, value, isLittle);
    else view.setUint32(0, value, isLittle);
    return new Uint8Array(view.buffer);
  });
  return concat(...parts);
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function pcap(packets: Laid[], form: PcapForm = {}): Uint8Array {
  const { isLittle = true, magic = MICROSECONDS, linkType = 1, snaplen = 262144 } = form;
  const header = lay(isLittle, [4, magic], [2, 2], [2, 4], [4, 0], [4, 0], [4, snaplen], [4, linkType]);
  const records = packets.map(({ time = 0, data, length = data.length, interface: index = 0 }) => {
    const seconds = Math.floor(time / 1e6);
    const rest = (time - seconds * 1e6) * (magic === NANOSECONDS ? 1000 : 1);
    const fields: Field[] = [
      [4, seconds],
      [4, rest],
      [4, data.length],
      [4, length],
    ];
    const extra: Field[] = magic === MODIFIED ? [[4, index], [2, 0x0800], new Uint8Array([0, 0])] : [];
    return lay(isLittle, ...fields, ...extra, data);
  });
  return concat(header, ...records);
}

export function padded(data: Uint8Array): Uint8Array {
  return concat(data, new Uint8Array(-data.length & 3));
}

/** One pcapng block. */
export function block(isLittle: boolean, type: number, ...fields: Field[]): Uint8Array {
  const body = padded(lay(isLittle, ...fields));
  const size = body.length + 12;
  return lay(isLittle, [4, type], [4, size], body, [4, size]);
}

export function section(isLittle = true): Uint8Array {
  const unknown = 0xffffffff;
  return block(isLittle, 0x0a0d0d0a, [4, 0x1a2b3c4d], [2, 1], [2, 0], [4, unknown], [4, unknown]);
}

export function option(isLittle: boolean, code: number, value: Uint8Array): Uint8Array {
  return lay(isLittle, [2, code], [2, value.length], padded(value));
}

export function description(
  isLittle = true,
  linkType = 1,
  { snaplen = 0, resolution, offset }: { snaplen?: number; resolution?: number; offset?: bigint } = {},
): Uint8Array {
  const options: Uint8Array[] = [];
  if (resolution !== undefined) options.push(option(isLittle, 9, Uint8Array.of(resolution)));
  if (offset !== undefined) {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigInt64(0, offset, isLittle);
    options.push(option(isLittle, 14, new Uint8Array(view.buffer)));
  }
  if (options.length > 0) options.push(option(isLittle, 0, new Uint8Array(0)));
  return block(isLittle, 1, [2, linkType], [2, 0], [4, snaplen], ...options);
}

/** An enhanced packet block; `ticks` in the interface's resolution. */
export function enhanced(
  isLittle: boolean,
  ticks: bigint,
  data: Uint8Array,
  { index = 0, length = data.length }: { index?: number; length?: number } = {},
): Uint8Array {
  const [high, low] = [Number(ticks >> 32n), Number(ticks & 0xffffffffn)];
  return block(isLittle, 6, [4, index], [4, high], [4, low], [4, data.length], [4, length], padded(data));
}

export function obsolete(isLittle: boolean, ticks: bigint, data: Uint8Array, index = 0): Uint8Array {
  const [high, low] = [Number(ticks >> 32n), Number(ticks & 0xffffffffn)];
  return block(
    isLittle,
    2,
    [2, index],
    [2, 0xffff],
    [4, high],
    [4, low],
    [4, data.length],
    [4, data.length],
    padded(data),
  );
}

export function simple(isLittle: boolean, data: Uint8Array, length = data.length): Uint8Array {
  return block(isLittle, 3, [4, length], padded(data));
}
