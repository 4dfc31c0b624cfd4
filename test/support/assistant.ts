/**
 * A host behind the target, which routes to it what it answers to some clients:
 *
 *     target behind 10.3.0.1 -- 10.3.0.2 net0 assistant      (fd00:3::1 and fd00:3::2)
 */
import { addAddress, ip } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";

export const ASSISTANT = "10.3.0.2";
export const ASSISTANT6 = "fd00:3::2";

/** Makes it, with a route from the target for each of these addresses. Returns its namespace. */
export function createAssistant(lab: Lab, clients: string[]): string {
  const namespace = lab.target.replace(/target$/, "assistant");
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
  ip("-n", lab.target, "link", "add", "behind", "type", "veth", "peer", "name", "net0", "netns", namespace);
  for (const [host, device, addresses] of [
    [lab.target, "behind", ["10.3.0.1/24", "fd00:3::1/64"]],
    [namespace, "net0", [`${ASSISTANT}/24`, `${ASSISTANT6}/64`]],
  ] as const) {
    run(host, "sysctl", "-qw", `net.ipv6.conf.${device}.accept_dad=0`);
    for (const address of addresses) addAddress(host, device, address);
    ip("-n", host, "link", "set", device, "up");
  }
  run(lab.target, "sysctl", "-qw", "net.ipv4.ip_forward=1");
  run(lab.target, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0");
  ip("-n", lab.online, "route", "add", "10.3.0.0/24", "via", "10.0.0.2");
  ip("-n", namespace, "route", "add", "default", "via", "10.3.0.1");
  for (const client of clients) {
    const gateway = client.includes(":") ? ASSISTANT6 : ASSISTANT;
    ip("-n", lab.target, "route", "add", client, "via", gateway);
  }
  return namespace;
}
