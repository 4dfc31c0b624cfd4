/** ICMP errors. */
import { build, type Frame } from "./build.ts";

/** The frame of a message of type and code that quotes `quoted`, from a router. */
export function quoting(quoted: Frame, type: number, code: number, rest: number[]): Uint8Array {
  const inner = build(quoted).ip.subarray(0, 60);
  const isIpv6 = quoted.source!.includes(":");
  const carrier = build({
    source: isIpv6 ? "fd00::1" : "10.0.0.1",
    destination: quoted.source!,
    payload: 28 + inner.length - 20,
  });
  const { bytes } = carrier;
  const ip = bytes.length - carrier.ip.length;
  const icmp = ip + (isIpv6 ? 40 : 20);
  bytes[isIpv6 ? ip + 6 : ip + 9] = isIpv6 ? 58 : 1;
  bytes.set([type, code, 0, 0, ...rest], icmp);
  bytes.set(inner, icmp + 8);
  return bytes;
}
