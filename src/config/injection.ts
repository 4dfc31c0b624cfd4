/** `--inject`: how packets are sent; and MAC addresses as users write them. */
import { Failure } from "../native/failure.ts";

/** `packet`: frames with a MAC header; `raw`: IP packets that the kernel routes; `auto`: frames where there is Ethernet. */
export type Injection = "auto" | "packet" | "raw";

/** Throws a Failure (exit code 2). */
export function parseInjection(text: string): Injection {
  if (text === "auto" || text === "packet" || text === "raw") return text;
  throw new Failure(`Cannot use --inject "${text}": no such way to send`, "Give auto, packet or raw.", 2);
}

/** A MAC address of one host: six hexadecimal numbers with colons between them; null if it is none. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i.test(text)) return null;
  const bytes = Uint8Array.from(text.split(":"), (digits) => Number.parseInt(digits, 16));
  const isGroup = (bytes[0]! & 1) === 1;
  return isGroup || bytes.every((byte) => byte === 0) ? null : bytes;
}

/** `02:00:00:00:00:01`. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
