/**
 * A second of each host:
 *
 *     client net0 10.1.0.2 -- online -- target              (the lab)
 *                     online second 10.7.0.1 -- 10.7.0.2 net0 target2
 *     client2 net0 10.6.0.2 -- 10.6.0.1 front online2 back 10.5.0.2 -- 10.5.0.1 side target
 */
import { ip } from "../../src/demo/network.ts";
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";
import { createElsewhere, joinHosts } from "./third.ts";

export const TARGET_2 = "10.7.0.2";
export const ONLINE_2 = "10.6.0.1";

function addHost(lab: Lab, name: string): string {
  const namespace = lab.target.replace(/target$/, name);
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
  return namespace;
}

/** Another target of the online host. Returns its namespace. */
export function createSecondTarget(lab: Lab): string {
  const namespace = addHost(lab, "target2");
  joinHosts(lab.online, "second", ["10.7.0.1", "fd00:7::1"], namespace, "net0", [TARGET_2, "fd00:7::2"]);
  ip("-n", namespace, "route", "add", "default", "via", "10.7.0.1");
  return namespace;
}

/** Another online host of the target, with a client. */
export function createSecondOnline(lab: Lab): { online: string; client: string } {
  const online = createElsewhere(lab);
  const client = addHost(lab, "client2");
  joinHosts(online, "front", ["10.6.0.1", "fd00:6::1"], client, "net0", ["10.6.0.2", "fd00:6::2"]);
  run(online, "sysctl", "-qw", "net.ipv4.ip_forward=1");
  ip("-n", client, "route", "add", "default", "via", "10.6.0.1");
  ip("-n", lab.target, "route", "add", "10.6.0.0/24", "via", "10.5.0.2");
  return { online, client };
}
