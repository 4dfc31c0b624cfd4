/** What a plan is made from besides the options: the host that copies. */
import { lookup } from "node:dns/promises";
import { existsSync, readFileSync } from "node:fs";
import type { Address } from "../../config/address.ts";
import { needsBpf } from "../../config/capture.ts";
import type { Interface } from "../../config/interfaces.ts";
import type { Ambiguous, Lookup } from "../../config/transfer.ts";
import { localTest } from "../../host/local-addresses.ts";
import { requirePrivileges } from "../../host/privileges.ts";
import { type ResolvedEgress, resolveEgress, type Way } from "../../inject/egress.ts";
import { links } from "../../native/netlink/netlink.ts";
import { usableCpus } from "../../native/scheduling.ts";
import type { CopyOptions } from "../options.ts";
import { chooseAddress, hasRoute, tryConnection } from "../target/choose-address.ts";

/** What a plan is made from besides the options: this host, or in a test another one. */
export interface Host {
  lookup: Lookup;
  /** Which of several addresses of a name to use, and a line for the user that says why. */
  choose(of: Ambiguous): Promise<{ address: Address; note: string }>;
  interfaces: Interface[];
  isLocal(address: Uint8Array): boolean;
  /** Whether there is a file or directory of this name. */
  exists(path: string): boolean;
  /** Texts of the sysctls net.ipv4.ip_local_port_range and ip_local_reserved_ports. */
  localPorts: string;
  reservedPorts: string;
  /** The CPUs that xcopy may run on. */
  cpus: number[];
  resolveEgress(target: Address, way: Way): Promise<ResolvedEgress>;
}

/** This host. A dry run sends nothing, changes nothing and needs no privileges; nor does a copy that runs, and has what it needs. */
export function thisHost({ mark, dryRun, force, capture }: CopyOptions, runs = false): Host {
  const sysctl = (name: string, usual: string) => {
    try {
      return readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8");
    } catch {
      // Containers may be without /proc/sys.
      return usual;
    }
  };
  return {
    lookup: (name) => lookup(name, { all: true }),
    choose: (of) => chooseAddress(of, dryRun ? hasRoute : tryConnection),
    interfaces: links(),
    exists: existsSync,
    isLocal: localTest(),
    localPorts: sysctl("ip_local_port_range", "32768 60999"),
    reservedPorts: sysctl("ip_local_reserved_ports", ""),
    cpus: usableCpus(),
    resolveEgress: async ({ bytes, family }, way) => {
      const bpf = needsBpf(capture) ? "needed" : "wanted";
      if (!dryRun && !runs) requirePrivileges({ what: "capture and send packets", bpf, sockets: true });
      return resolveEgress(bytes, family, mark, !dryRun && !force, way);
    },
  };
}
