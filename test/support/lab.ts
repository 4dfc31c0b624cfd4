/**
 * The lab of the end-to-end tests: the network of the demo, with many client addresses, a route between client and
 * target (so that a response that leaks would arrive), and processes that end with it.
 */
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetwork, ip, ipLines, type Network } from "../../src/demo/network.ts";
import { LISTEN, openSockets } from "../../src/native/sockets.ts";
import { exitAtSignals, type Running, run, start } from "./process.ts";

export interface Lab extends Network {
  /** A directory of its own, removed with the lab. */
  directory: string;
  /** Starts a command in one of the namespaces; it ends with `stopAll` at the latest. */
  start(namespace: string, command: string[], env?: Record<string, string>): Running;
  /** Ends everything that was started, the latest first. For afterEach. */
  stopAll(): Promise<void>;
}

/** Client addresses are 10.1.0.2 to 10.1.0.60 and fd00:1::2 to fd00:1::60 (as written), taken in turn. */
const CLIENTS = Array.from({ length: 59 }, (_, index) => index + 2);

const labs = new Set<Lab>();
process.on("exit", () => {
  for (const lab of labs) lab.remove();
});
exitAtSignals();

/** Makes the lab; `manyClients` gives each new connection of the client the next of 59 source addresses. */
export function createLab({ manyClients = true } = {}): Lab {
  const network = createNetwork();
  const directory = mkdtempSync(join(tmpdir(), "xcopy-lab-"));
  const running: Running[] = [];
  const lab: Lab = {
    ...network,
    directory,
    start(namespace, command, env) {
      const process = start(namespace, command, env);
      running.push(process);
      return process;
    },
    async stopAll() {
      for (const process of running.splice(0).reverse()) await process.stop();
    },
    remove() {
      if (!labs.delete(lab)) return;
      network.remove();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  labs.add(lab);
  try {
    ip("-n", lab.client, "route", "add", "default", "via", "10.1.0.1");
    ip("-n", lab.target, "route", "add", "default", "via", "10.0.0.1");
    ip("-n", lab.target, "-6", "route", "add", "default", "via", "fd00::1");
    run(lab.online, "sysctl", "-qw", "net.ipv4.ip_forward=1");
    if (manyClients) spreadClients(lab);
  } catch (error) {
    lab.remove();
    throw error;
  }
  return lab;
}

function spreadClients(lab: Lab): void {
  const rules: string[] = [];
  for (const [family, network] of [
    ["ip", "10.1.0."],
    ["ip6", "fd00:1::"],
  ] as const) {
    const addresses = CLIENTS.map((host) => network + host);
    const bits = family === "ip" ? 24 : 64;
    ipLines(
      lab.client,
      addresses.slice(1).map((address) => `addr add ${address}/${bits} dev net0`),
    );
    const turns = addresses.map((address, index) => `${index} : ${address}`).join(", ");
    rules.push(
      `table ${family} clients {`,
      "  chain spread {",
      "    type nat hook postrouting priority srcnat",
      `    oifname "net0" tcp dport > 0 snat to numgen inc mod ${addresses.length} map { ${turns} }`,
      "  }",
      "}",
    );
  }
  const file = join(lab.directory, "clients.nft");
  writeFileSync(file, rules.join("\n") + "\n");
  run(lab.client, "nft", "-f", file);
  // Each short connection would stay in the table for two minutes.
  run(lab.client, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1");
}

/** Whether something listens on this TCP port in the network namespace of a process, once that is not ours any more. */
export function listens(pid: number, port: number): boolean {
  if (networkOf(pid) === networkOf("self")) return false;
  const sockets = (["tcp", "tcp6"] as const).flatMap((table) => openSockets(table, pid));
  return sockets.some((socket) => socket.port === port && socket.state === LISTEN);
}

function networkOf(pid: number | "self"): string {
  return readlinkSync(`/proc/${pid}/ns/net`);
}

/** Ends what is left of connections to a TCP port of the namespace, whose server has ended: nothing is said in them any more. */
export function endConnections(namespace: string, port: number): void {
  run(namespace, "ss", "-HtK", `sport = :${port}`);
}
