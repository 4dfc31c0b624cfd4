/** tcpdump in a namespace, to see what reaches an interface. */
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";

export interface PacketCount {
  /** Ends the capture and resolves with how many packets matched and the first of them as text. */
  stop(): Promise<{ packets: number; lines: string[] }>;
}

/** Starts to watch for packets that match a pcap-filter expression; resolves when it watches. */
export async function watchPackets(
  lab: Lab,
  namespace: string,
  device: string,
  filter: string,
): Promise<PacketCount> {
  // With its usual length of a packet tcpdump has room for eight at a time.
  const options = ["-i", device, "-nn", "-l", "-s", "128", "--immediate-mode"];
  const tcpdump = lab.start(namespace, ["tcpdump", ...options, filter]);
  await tcpdump.line(/^listening on/);
  return {
    async stop() {
      await tcpdump.stop("SIGINT");
      const captured = tcpdump.errors.find((line) => line.includes("packets captured"));
      if (!captured) throw new Error(`tcpdump ended:\n${tcpdump.errors.join("\n")}`);
      return { packets: Number.parseInt(captured, 10), lines: tcpdump.output.filter(Boolean).slice(0, 5) };
    },
  };
}

/**
 * How many TCP connections of this host, in its whole life, were refused or cut off by a reset. (A reset as such proves
 * nothing: one may answer the last acknowledgement of a connection that both sides have closed.)
 */
export function brokenConnections(namespace: string): number {
  const [names, values] = run(namespace, "cat", "/proc/net/snmp")
    .split("\n")
    .filter((line) => line.startsWith("Tcp:"))
    .map((line) => line.split(" "));
  return Number(values![names!.indexOf("EstabResets")]) + Number(values![names!.indexOf("AttemptFails")]);
}
