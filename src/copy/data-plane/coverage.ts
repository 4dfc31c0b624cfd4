/** Which intercept catches the answers of which paths, and the paths' own addresses as ranges. */
import type { AddressRange, Welcome } from "../../channel/messages.ts";
import { formatAddress } from "../../config/address.ts";
import type { PathConfig } from "../../inject/path.ts";

/** Whether an intercept catches the answers of a path's target; one that names no services counts as catching all. */
export function covers({ services }: Welcome, { target, targetPort }: PathConfig): boolean {
  if (services.length === 0) return true;
  const address = formatAddress(target);
  return services.some(
    (service) => service.port === targetPort && (service.address === null || service.address === address),
  );
}

/** The paths' own source addresses, adjacent ones as one range. */
export function rangesOf(paths: readonly PathConfig[]): AddressRange[] {
  const known = new Map<string, bigint>();
  for (const { local } of paths) {
    if (local) known.set(formatAddress(local), BigInt(`0x${Buffer.from(local).toString("hex")}`));
  }
  const addresses = [...known].sort(([, one], [, other]) => (one < other ? -1 : 1));
  const ranges: AddressRange[] = [];
  let next = -1n;
  for (const [text, value] of addresses) {
    if (value === next) ranges.at(-1)!.last = text;
    else ranges.push({ first: text, last: text });
    next = value + 1n;
  }
  return ranges;
}
