/**
 * A third host for the intercept, to which the target routes what it answers to some clients, with a way of its own to
 * online: what it forwards would reach the clients.
 *
 *     target behind 10.3.0.1 -- 10.3.0.2 net0 assistant up 10.4.0.2 -- 10.4.0.1 third online
 *
 * IPv6 has the same picture with fd00:3:: and fd00:4::.
 */
import { addAddress, ip } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";

export const THIRD = "10.4.0.2";
export const THIRD6 = "fd00:4::2";

/** The networks that nobody but clients and what stands for them is in: those of the lab, a pool, the probes. */
const CLIENTS = ["10.1.0.0/24", "10.9.0.0/24", "192.0.2.0/24", "fd00:1::/64", "fd00:9::/64", "2001:db8::/32"];

/** Makes it, with routes from the target for the clients and for 10.9.0.0/24 and fd00:9::/64. Returns its namespace. */
export function createThird(lab: Lab): string {
  const namespace = lab.target.replace(/target$/, "third");
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
  joinHosts(lab.target, "behind", ["10.3.0.1", "fd00:3::1"], namespace, "net0", ["10.3.0.2", "fd00:3::2"]);
  joinHosts(lab.online, "third", ["10.4.0.1", "fd00:4::1"], namespace, "up", [THIRD, THIRD6]);
  ip("-n", namespace, "route", "add", "default", "via", "10.4.0.1");
  ip("-n", namespace, "-6", "route", "add", "default", "via", "fd00:4::1");
  // What the clients send comes in on another interface than the way back to them.
  for (const host of [lab.target, lab.online, namespace]) setFilter(host, 2);
  run(lab.online, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1");
  for (const network of CLIENTS) {
    const gateway = network.includes(":") ? "fd00:3::2" : "10.3.0.2";
    ip("-n", lab.target, "route", "add", network, "via", gateway);
  }
  return namespace;
}

/** net.ipv4.conf.all.rp_filter. */
export function setFilter(namespace: string, value: 0 | 1 | 2): void {
  run(namespace, "sysctl", "-qw", `net.ipv4.conf.all.rp_filter=${value}`);
}

/** Whether a host forwards. */
export function setForwarding(namespace: string, on: boolean): void {
  const value = on ? 1 : 0;
  run(namespace, "sysctl", "-qw", `net.ipv4.ip_forward=${value}`, `net.ipv6.conf.all.forwarding=${value}`);
}

/** A link between two hosts; the addresses are of /24 and /64. */
export function joinHosts(
  left: string,
  leftName: string,
  leftAddresses: readonly string[],
  right: string,
  rightName: string,
  rightAddresses: readonly string[],
): void {
  ip("-n", left, "link", "add", leftName, "type", "veth", "peer", "name", rightName, "netns", right);
  for (const [host, device, addresses] of [
    [left, leftName, leftAddresses],
    [right, rightName, rightAddresses],
  ] as const) {
    run(host, "sysctl", "-qw", `net.ipv6.conf.${device}.accept_dad=0`);
    for (const address of addresses)
      addAddress(host, device, `${address}/${address.includes(":") ? 64 : 24}`);
    ip("-n", host, "link", "set", "dev", device, "up");
  }
}

/** Another host on a link of its own to the target; its address is 10.5.0.2 and fd00:5::2. Returns its namespace. */
export function createElsewhere(lab: Lab): string {
  const namespace = lab.target.replace(/target$/, "elsewhere");
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
  joinHosts(lab.target, "side", ["10.5.0.1", "fd00:5::1"], namespace, "net0", ["10.5.0.2", "fd00:5::2"]);
  ip("-n", namespace, "route", "add", "default", "via", "10.5.0.1");
  return namespace;
}
