/** Connections of Multipath TCP (RFC 8684) that use several subflows: what is said of them. */
import { number } from "../../runtime/figures.ts";

/** The counts that this is about, of an account. */
export interface Multipath {
  mptcp: { joined: number; incomplete: number };
}

/** How to have them copied. */
export const MULTIPATH_ADVICE =
  'keep MPTCP connections to one subflow, on the service\'s host "ip mptcp limits set subflows 0", or switch it off at the clients: "sysctl net.mptcp.enabled=0"';

/** `MPTCP connections use several subflows ...: 1 subflow joined and is not copied, ...`; null if none does. */
export function renderMultipath({ mptcp: { joined, incomplete } }: Multipath): string | null {
  const parts = [
    joined > 0 && `${number(joined)} subflow${joined === 1 ? "" : "s"} joined and opened nothing`,
    incomplete > 0 &&
      `${number(incomplete)} connection${incomplete === 1 ? "" : "s"} not copied from where data took another subflow`,
  ].filter(Boolean);
  return parts.length === 0
    ? null
    : `MPTCP connections with several subflows are not copied faithfully: ${parts.join(", ")}`;
}
