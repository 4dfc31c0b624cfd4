/** Which copies of one file send to the same target, and so need ports of their own. */
import { formatAddress } from "../config/address.ts";
import type { Part, PortRange } from "../config/ports.ts";
import type { Host, Transfer } from "../config/transfer.ts";

/** What counts of the options of a copy (src/copy/options.ts). */
export interface Sending {
  name: string;
  transfers: readonly Transfer[];
  ports: PortRange | null;
  part: Part | null;
}

const textOf = (host: Host) => ("name" in host ? host.name.toLowerCase() : formatAddress(host.address.bytes));

/** The targets of a copy as text; a name and its address are two. */
function targetsOf({ transfers }: Sending): string[] {
  return transfers.flatMap(({ transport, targets }) =>
    targets.map(({ host, port }) => `${transport ?? "tcp"} ${textOf(host)} ${port}`),
  );
}

/**
 * Copies with a target in common share the ports among them: the words (`--shift 0/2`) that each of these gets, by its name. None where
 * one of them says itself which ports it uses.
 */
export function shareOut(copies: readonly Sending[]): Map<string, string[]> {
  let groups: { targets: Set<string>; members: Sending[] }[] = [];
  for (const copy of copies) {
    const targets = new Set(targetsOf(copy));
    const meets = groups.filter((group) => !group.targets.isDisjointFrom(targets));
    const members = [...meets.flatMap((group) => group.members), copy];
    for (const group of meets) for (const target of group.targets) targets.add(target);
    groups = [...groups.filter((group) => !meets.includes(group)), { targets, members }];
  }
  const words = new Map<string, string[]>();
  for (const { members } of groups) {
    if (members.length < 2 || members.some(({ ports, part }) => ports || part)) continue;
    for (const [index, { name }] of members.entries())
      words.set(name, ["--shift", `${index}/${members.length}`]);
  }
  return words;
}

/**
 * The name of one of `others` that sends to a target of this copy too, with all ports for itself or a part that was shared out when all of
 * them began; null: none does, or the copy says which ports it uses.
 */
export function meets(copy: Sending, others: readonly Sending[]): string | null {
  if (copy.ports || copy.part) return null;
  const targets = new Set(targetsOf(copy));
  return others.find((other) => !new Set(targetsOf(other)).isDisjointFrom(targets))?.name ?? null;
}
