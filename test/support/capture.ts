/** tcpdump in a namespace, to see what reaches an interface. */
import type { Lab } from "./lab.ts";
import { type Running, run } from "./process.ts";
import { until } from "./until.ts";

/** What tcpdump says at SIGUSR1. */
const STATISTICS =
  /^tcpdump: (\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped/;

/**
 * Waits until tcpdump has read all that it was given so far (what is in its buffer when it is told to end is lost), and returns
 * how many packets it has captured.
 */
export async function readByTcpdump(tcpdump: Running): Promise<number> {
  const said = () => tcpdump.errors.flatMap((line) => STATISTICS.exec(line)?.slice(1).map(Number) ?? []);
  let captured = 0;
  await until("tcpdump has read all packets", async () => {
    const known = said().length;
    process.kill(tcpdump.pid, "SIGUSR1");
    await until("tcpdump's statistics", () => said().length > known);
    const [taken, received, dropped] = said().slice(-3) as [number, number, number];
    captured = taken;
    return taken + dropped >= received;
  });
  return captured;
}

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
      const packets = await readByTcpdump(tcpdump);
      await tcpdump.stop("SIGINT");
      return { packets, lines: tcpdump.output.filter(Boolean).slice(0, 5) };
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
