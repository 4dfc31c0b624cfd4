/** The interfaces that requests are captured on: whether they are up, what they are, and what that means for capture. */
import { type Address, formatAddress } from "../../config/address.ts";
import { meansEvery } from "../../config/interfaces.ts";
import { type Offloads, offloadsOf } from "../../native/facts/offloads.ts";
import type { Link } from "../../native/netlink/netlink.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import type { Read, Subject } from "../subject.ts";

/** Interfaces that are shown one by one: hosts of containers have hundreds. */
const MOST_SHOWN = 16;
/** The largest packet without BIG TCP. */
const WITHOUT_BIG_TCP = 65_536;
/** Kinds that carry packets which other interfaces carry too. */
const TUNNELS = /^(vxlan|geneve|gre|gretap|ip6gre|ip6gretap|ipip|sit|ip6tnl|vti|xfrm|wireguard|tun)$/;

export interface InterfaceLook extends Pick<Subject, "options" | "plan" | "read" | "links"> {
  /** Null where an interface does not tell. */
  offloads?: (name: string) => Offloads | null;
}

/** The value of a key of a uevent file of /sys. */
function uevent(read: Read, path: string, key: string): string | null {
  return new RegExp(`^${key}=(.*)$`, "m").exec(read(path) ?? "")?.[1] ?? null;
}

/** What it is made of, and what that means for requests that pass it. */
function natureOf({ name, kind, loopback }: Link, read: Read): string[] {
  const at = `/sys/class/net/${name}`;
  const master = uevent(read, `${at}/master/uevent`, "INTERFACE");
  const driver = uevent(read, `${at}/device/uevent`, "DRIVER");
  const bond = read(`${at}/bonding/mode`)?.trim().split(" ")[0];
  const text: string[] = [];
  if (loopback) text.push("loopback");
  if (driver !== null) text.push(`driver ${driver}`);
  if (bond) text.push(`bond (${bond})`);
  else if (kind === "bridge") text.push("bridge");
  else if (TUNNELS.test(kind)) text.push(`tunnel (${kind})`);
  else if (kind !== "") text.push(kind);
  if (master !== null) text.push(`part of ${master}`);
  return text;
}

function offloadText(link: Link, offloads: Offloads | null): string[] {
  const text: string[] = [];
  if (offloads?.lro) text.push("LRO on (the card joins packets)");
  if (offloads && !offloads.gro) text.push("GRO off");
  if (link.largest > WITHOUT_BIG_TCP) text.push(`BIG TCP (packets up to ${link.largest} bytes)`);
  return text;
}

/** Each interface of -i, or all that are up. */
export function checkInterfaces({
  options,
  plan,
  read,
  links,
  offloads = offloadsOf,
}: InterfaceLook): Finding[] {
  if (plan !== null && plan.files.length > 0) return [];
  const names = options.inputs.flatMap((value) => value.split(",").map((name) => name.trim()));
  const isNamed = !meansEvery(options.inputs);
  const chosen = links.filter(({ name, up }) => (isNamed ? names.includes(name) : up));
  const findings = chosen.slice(0, MOST_SHOWN).flatMap((link): Finding[] => {
    const about = findingsAbout("host.interface", `interface ${link.name}`);
    const facts = [
      ...natureOf(link, read),
      `MTU ${link.mtu}`,
      ...offloadText(link, offloads(link.name)),
    ].join(", ");
    if (!link.up) {
      const found = `down: nothing arrives there (${facts})`;
      const fix = `ip link set dev ${link.name} up`;
      return chosen.every(({ up }) => !up) ? about.failed(found, fix) : about.warning(found, fix);
    }
    const hasCarrier = read(`/sys/class/net/${link.name}/carrier`)?.trim() !== "0";
    if (!hasCarrier && isNamed)
      return about.warning(`up, but without a carrier (${facts})`, "Check the cable, or the other end.");
    return about.ok(`up${hasCarrier ? "" : ", without a carrier"}, ${facts}`);
  });
  if (chosen.length > MOST_SHOWN) {
    findings.push(
      ...findingsAbout("host.interface", "more interfaces").ok(`${chosen.length - MOST_SHOWN}, all up`),
    );
  }
  return [...findings, ...checkStack(chosen, read), ...checkLonely(links, options.transfers)];
}

/** Interfaces that stand on each other see the same packet: it is copied once. */
function checkStack(chosen: Link[], read: Read): Finding[] {
  const stacked = chosen.filter(
    ({ name, kind }) =>
      /^(bridge|vlan|macvlan|ipvlan|bond)$/.test(kind) ||
      TUNNELS.test(kind) ||
      read(`/sys/class/net/${name}/master/uevent`) !== null,
  );
  if (stacked.length === 0) return [];
  const names = stacked.slice(0, 5).map(({ name }) => name);
  const more = stacked.length > names.length ? ` and ${stacked.length - names.length} more` : "";
  return findingsAbout("host.stacked_interfaces", "interfaces on interfaces").ok(
    `${names.join(", ")}${more}: a request that passes several of them is copied once`,
  );
}

function isLoopback({ bytes }: Address): boolean {
  return /^(127\.|::1$)/.test(formatAddress(bytes));
}

/** A container's network namespace without an interface of its own. */
function checkLonely(links: Link[], transfers: Subject["options"]["transfers"]): Finding[] {
  const isLocal = transfers.every(
    ({ source }) => source && "address" in source && isLoopback(source.address),
  );
  if (isLocal || links.some(({ up, loopback }) => up && !loopback)) return [];
  return findingsAbout("host.network_namespace", "network namespace").warning(
    "only the loopback interface is up: clients of other hosts arrive elsewhere",
    "Run xcopy where the service's interface is: on the host itself, or in the container's namespace (nsenter -t PID -n).",
  );
}
