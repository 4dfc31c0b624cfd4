/** tcpdump in a namespace, to see what reaches an interface. */
import type { Lab } from "./lab.ts";
import { type Running, run } from "./process.ts";
import { until } from "./until.ts";

export interface Tcpdump {
  running: Running;
  /**
   * Waits until it has read all that it was given so far (what is in its buffer when it is told to end is lost), ends it, and
   * resolves with how many packets it has taken, and how many the kernel had no room for.
   */
  stop(): Promise<{ captured: number; dropped: number }>;
}

/** What tcpdump says at SIGUSR1. */
const STATISTICS =
  /^tcpdump: (\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped/;

/** Starts tcpdump with these arguments and resolves when it captures. */
export async function startTcpdump(lab: Lab, namespace: string, words: string[]): Promise<Tcpdump> {
  const running = lab.start(namespace, ["tcpdump", ...words]);
  await running.line(/^(tcpdump: )?listening on/);
  const said = () => running.errors.map((line) => STATISTICS.exec(line)).filter((match) => match !== null);
  async function ask(): Promise<{ captured: number; dropped: number; unread: number }> {
    const known = said().length;
    process.kill(running.pid, "SIGUSR1");
    await until("tcpdump's statistics", () => said().length > known);
    const [captured, received, dropped] = said().at(-1)!.slice(1).map(Number) as [number, number, number];
    return { captured, dropped, unread: received - captured - dropped };
  }
  // What came before its filter was there counts as received, and is never captured.
  let unwanted = Number.NaN;
  await until("tcpdump is quiet", async () => {
    const before = unwanted;
    unwanted = (await ask()).unread;
    return unwanted === before;
  });
  return {
    running,
    async stop() {
      const { captured, dropped } = await until("tcpdump has read all packets", async () => {
        const found = await ask();
        return found.unread <= unwanted ? found : null;
      });
      await running.stop("SIGINT");
      return { captured, dropped };
    },
  };
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
  const tcpdump = await startTcpdump(lab, namespace, [...options, filter]);
  return {
    async stop() {
      const { captured } = await tcpdump.stop();
      return { packets: captured, lines: tcpdump.running.output.filter(Boolean).slice(0, 5) };
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
