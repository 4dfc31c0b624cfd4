/** Decides what a look at the routes means for the way to a target. No input, no clock. */
import { formatAddress, sameAddress } from "../../config/address.ts";
import { needsMac, noAnswer } from "../../inject/egress.ts";
import type { EgressConfig } from "../../inject/path.ts";

/** ms after which a target that was on a network of this host may be reached by the default route instead. */
const ONLY_DEFAULT = 60_000;

/** The way to a target as packets are sent now, or were sent last. */
export interface KnownWay {
  target: Uint8Array;
  egress: EgressConfig;
  source: Uint8Array;
  /** Whether packets are sent from `source`, the address that this host has towards the target; else from others. */
  followsSource: boolean;
  /** Whether the target was on a network of this host at the start. */
  wasOnLink: boolean;
  /** Whether nothing is sent now. */
  isHeld: boolean;
  /** ms since it was reached last, if it is held. */
  heldFor: number;
}

/** What a look found: a way, or why there is none. */
export type Found = { egress: EgressConfig; source: Uint8Array } | { cause: string };

/** More about this host, where it is needed. */
export interface Facts {
  /** Whether only the default route leads to the target. */
  isDefault(): boolean;
  /** Whether an address is one of this host's. */
  isLocal(address: Uint8Array): boolean;
}

/** The way from now on, or why nothing can be sent; `asks`: of this next hop the MAC address is not known. */
export type Judgement = { egress: EgressConfig; source: Uint8Array } | { cause: string; asks?: EgressConfig };

/** What becomes of a way. What only seems to be one while a network is made anew is none. */
export function judge(known: KnownWay, found: Found, facts: Facts): Judgement {
  if ("cause" in found) return found;
  const { egress } = found;
  const isMoved = egress.ifindex !== known.egress.ifindex || !sameHop(egress, known.egress);
  // While the target's own network is away, the default route would carry its requests to strangers.
  if (known.wasOnLink && isMoved && known.heldFor < ONLY_DEFAULT && facts.isDefault()) {
    return { cause: `only the default route (${egress.interface}) is left` };
  }
  const source = sourceOf(known, found, facts);
  if (source === null) return { cause: `${egress.interface} has no address yet to send from` };
  if (!needsMac(egress) || egress.nextHopMac.length > 0) return { egress, source };
  // It may be asleep or restarting: packets go to where it was last, as before.
  if (!isMoved && !known.isHeld)
    return { egress: { ...egress, nextHopMac: known.egress.nextHopMac }, source };
  return { cause: noAnswer(egress.nextHop, egress.interface), asks: egress };
}

function sameHop(one: EgressConfig, other: EgressConfig): boolean {
  return one.hasFixedMac === true || sameAddress(one.nextHop, other.nextHop);
}

/**
 * The address to send from. The one before, as long as this host has it and the interface is the same: the kernel may prefer
 * another one for new connections (temporary IPv6 addresses), and keeps those that there are. Null: none that will last.
 */
function sourceOf(known: KnownWay, found: { egress: EgressConfig; source: Uint8Array }, facts: Facts) {
  if (!known.followsSource || sameAddress(found.source, known.source)) return found.source;
  if (found.egress.interface === known.egress.interface && facts.isLocal(known.source)) return known.source;
  // Until its other addresses are checked (RFC 4862), an interface has only this one.
  const isForNow = isLinkLocal(found.source) && !isLinkLocal(known.target) && !isLinkLocal(known.source);
  return isForNow ? null : found.source;
}

function isLinkLocal(address: Uint8Array): boolean {
  return address.length === 16 && address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
}

/** The way as a user reads it: `dk0 (172.29.0.1)`. */
export function describeWay({ egress, source, followsSource }: KnownWay): string {
  return followsSource ? `${egress.interface} (${formatAddress(source)})` : egress.interface;
}
