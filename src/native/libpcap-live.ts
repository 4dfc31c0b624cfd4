/** Live capture by the host's libpcap, one handle for each interface. */
import { CString, dlopen, FFIType, type Pointer, read } from "bun:ffi";
import { blockTimeout } from "./block-timeout.ts";
import { Failure } from "./failure.ts";
import { address, libc } from "./libc.ts";
import { LIBPCAP_NAMES } from "./libpcap.ts";

const { ptr: pointer, i32 } = FFIType;
const SYMBOLS = {
  pcap_create: { args: [pointer, pointer], returns: pointer },
  pcap_set_snaplen: { args: [pointer, i32], returns: i32 },
  pcap_set_timeout: { args: [pointer, i32], returns: i32 },
  pcap_set_buffer_size: { args: [pointer, i32], returns: i32 },
  pcap_activate: { args: [pointer], returns: i32 },
  pcap_setnonblock: { args: [pointer, i32, pointer], returns: i32 },
  pcap_setdirection: { args: [pointer, i32], returns: i32 },
  pcap_datalink: { args: [pointer], returns: i32 },
  pcap_get_selectable_fd: { args: [pointer], returns: i32 },
  pcap_next_ex: { args: [pointer, pointer, pointer], returns: i32 },
  pcap_stats: { args: [pointer, pointer], returns: i32 },
  pcap_geterr: { args: [pointer], returns: pointer },
  pcap_close: { args: [pointer], returns: FFIType.void },
} as const;

/** Bytes of the blocks into which libpcap divides a buffer. */
const BLOCK = 256 << 10;
/** PCAP_D_IN, PCAP_D_OUT, PCAP_D_INOUT. */
const DIRECTIONS = { in: 1, out: 2, both: 0 } as const;
const NO_SUCH_DEVICE = -5;
const PERMISSION_DENIED = -8;
const NOT_UP = -9;

let lib: ReturnType<typeof load> | undefined;

function load() {
  for (const name of LIBPCAP_NAMES) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch {}
  }
  const message = `Cannot capture by libpcap: there is no "${LIBPCAP_NAMES[0]}"`;
  throw new Failure(
    message,
    "Install libpcap (Debian: apt-get install libpcap0.8), or use another --capture.",
    5,
  );
}

function libpcap() {
  lib ??= load();
  return lib;
}

/** Throws a Failure (5) where the host has no libpcap. */
export function requireLibpcap(): void {
  libpcap();
}

/** An open handle (pcap_t, as a number). Only one thread at a time may use it. */
export interface PcapHandle {
  handle: number;
  /** Readable when there may be packets. */
  descriptor: number;
  /** DLT_*. */
  linkType: number;
}

/**
 * Opens an interface, for packets that come in, for those that leave, or for both. Throws a Failure: 2 if it does not exist or is down,
 * 4 without privilege, 5 for other errors of libpcap.
 */
export function openPcap(
  name: string,
  snaplen: number,
  bufferBytes: number,
  direction: keyof typeof DIRECTIONS,
): PcapHandle {
  const pcap = libpcap();
  const text = new Uint8Array(new TextEncoder().encode(`${name}\0`).buffer);
  const error = new Uint8Array(new ArrayBuffer(256));
  const handle = Number(pcap.pcap_create(text, error)) as Pointer;
  if (!handle) throw failure(name, 0, new CString(address(error) as Pointer).toString());
  pcap.pcap_set_snaplen(handle, snaplen);
  pcap.pcap_set_timeout(handle, blockTimeout(Math.floor(bufferBytes / BLOCK)));
  pcap.pcap_set_buffer_size(handle, Math.min(bufferBytes, 0x7fffffff));
  const code = pcap.pcap_activate(handle);
  // Positive codes are warnings.
  if (code >= 0 && pcap.pcap_setnonblock(handle, 1, error) === 0) {
    pcap.pcap_setdirection(handle, DIRECTIONS[direction]);
    const descriptor = pcap.pcap_get_selectable_fd(handle);
    return { handle: Number(handle), descriptor, linkType: pcap.pcap_datalink(handle) };
  }
  const cause = new CString(pcap.pcap_geterr(handle) as Pointer).toString();
  pcap.pcap_close(handle);
  throw failure(name, code, cause);
}

function failure(name: string, code: number, said: string): Failure {
  const causes: Record<number, string> = {
    [NO_SUCH_DEVICE]: "there is no such interface",
    [PERMISSION_DENIED]: "operation not permitted",
    [NOT_UP]: "it is down",
  };
  const message = `Cannot capture on "${name}" by libpcap: ${causes[code] ?? said}`;
  if (code === PERMISSION_DENIED) {
    return new Failure(message, "Run as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN.", 4);
  }
  if (code === NO_SUCH_DEVICE) return new Failure(message, '"ip link" lists the interfaces.', 2);
  if (code === NOT_UP) return new Failure(message, `Set it up (ip link set ${name} up), or leave it out.`, 2);
  return new Failure(message, "Use another --capture.", 5);
}

export function closePcap(handle: number): void {
  libpcap().pcap_close(handle as Pointer);
}

/** Reads packets of handles, one at a time, into its own memory: a view of libpcap's memory would be an object per packet. */
export class PcapReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Of the packet of the last `next`: CLOCK_REALTIME, and bytes captured and on the wire, link layer header included. */
  seconds = 0;
  microseconds = 0;
  captured = 0;
  length = 0;
  readonly #at: number;
  readonly #found = new BigUint64Array(new ArrayBuffer(16));
  readonly #foundWords = new Uint32Array(this.#found.buffer);
  readonly #foundAt = address(this.#found);
  readonly #statistics = new Uint32Array(new ArrayBuffer(16));

  /** `room`: most bytes that are copied of a packet. */
  constructor(private readonly room: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(room));
    this.view = new DataView(this.bytes.buffer);
    this.#at = address(this.bytes);
  }

  /** Takes the next packet: 1, 0 if there is none, negative if the interface is gone or was down. */
  next(handle: number): number {
    const at = this.#foundAt as Pointer;
    const result = libpcap().pcap_next_ex(handle as Pointer, at, (at + 8) as Pointer);
    if (result <= 0) return result;
    const words = this.#foundWords;
    const header = (words[0]! + words[1]! * 2 ** 32) as Pointer; // struct pcap_pkthdr
    this.seconds = read.u32(header, 0) + read.u32(header, 4) * 2 ** 32;
    this.microseconds = read.u32(header, 8);
    this.captured = Math.min(this.room, read.u32(header, 16));
    this.length = read.u32(header, 20);
    libc.memcpy(this.#at as Pointer, (words[2]! + words[3]! * 2 ** 32) as Pointer, this.captured);
    return 1;
  }

  /** Packets that a handle's buffer had no room for, since it was opened. */
  drops(handle: number): number {
    const result = libpcap().pcap_stats(handle as Pointer, this.#statistics);
    return result === 0 ? this.#statistics[1]! : 0; // struct pcap_stat: ps_recv, ps_drop, ps_ifdrop
  }
}
