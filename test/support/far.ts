/** A host behind the target, which routes to it over a link that takes smaller packets than those on either side. */
import { addAddress, ip } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";

export const FAR = "10.2.0.2";
export const FAR6 = "fd00:2::2";

export interface Far {
  namespace: string;
  /** "fragmentation needed" (ICMP) and "packet too big" (ICMPv6) that the router has sent, or kept to itself. */
  refused(): number;
}

/**
 * Makes it. It offers the MSS of a link of 1500 bytes, but its router passes on no packet above `mtu`, and says so
 * unless it is `silent`.
 */
export function createFar(lab: Lab, mtu: number, silent: boolean): Far {
  const namespace = lab.target.replace(/target$/, "far");
  const router = lab.target;
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
  ip("-n", router, "link", "add", "behind", "type", "veth", "peer", "name", "net0", "netns", namespace);
  for (const [host, device, addresses] of [
    [router, "behind", ["10.2.0.1/24", "fd00:2::1/64"]],
    [namespace, "net0", [`${FAR}/24`, `${FAR6}/64`]],
  ] as const) {
    run(host, "sysctl", "-qw", `net.ipv6.conf.${device}.accept_dad=0`);
    for (const address of addresses) addAddress(host, device, address);
    ip("-n", host, "link", "set", device, "up");
  }
  ip("-n", router, "link", "set", "behind", "mtu", `${mtu}`);
  run(router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
  for (const [network, gateway, back] of [
    ["10.2.0.0/24", "10.0.0.2", "10.2.0.1"],
    ["fd00:2::/64", "fd00::2", "fd00:2::1"],
  ] as const) {
    ip("-n", lab.online, "route", "add", network, "via", gateway);
    ip("-n", namespace, "route", "add", "default", "via", back);
  }
  const verdict = silent ? "drop" : "accept";
  run(
    router,
    "nft",
    "table inet router {\n chain out {\n type filter hook output priority 0\n" +
      ` icmp type destination-unreachable icmp code frag-needed counter ${verdict}\n` +
      ` icmpv6 type packet-too-big counter ${verdict}\n}\n}`,
  );
  return {
    namespace,
    refused: () =>
      [...run(router, "nft", "list", "table", "inet", "router").matchAll(/counter packets (\d+)/g)]
        .map(([, count]) => Number(count))
        .reduce((sum, count) => sum + count, 0),
  };
}
