/** Where this host's netfilter sends a connection that it translates: DNAT rules, service addresses of Kubernetes and Docker. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { failureOfFile } from "../native/failure.ts";

/** The end of a connection. */
export interface TranslatedTo {
  address: string;
  port: number;
}

/** The two directions of an entry: net/netfilter/nf_conntrack_standalone.c, ct_seq_show. */
const ENTRY =
  /^ipv[46] +\d+ tcp .*? dst=(?<dst>\S+) sport=(?<sport>\d+) dport=(?<dport>\d+) .*?src=(?<src>\S+) dst=\S+ sport=(?<from>\d+) /;

/**
 * What an entry of /proc/net/nf_conntrack says about a connection from port `localPort` to `port`: where its packets really go;
 * null if the entry is of another connection. (IPv6 addresses are compared by their port numbers only: conntrack writes them out.)
 */
export function readEntry(line: string, port: number, localPort: number): TranslatedTo | null {
  const found = ENTRY.exec(line)?.groups;
  if (!found || Number(found.sport) !== localPort || Number(found.dport) !== port) return null;
  return { address: found.src!, port: Number(found.from) };
}

/** What an entry says about a connection that was translated to `port`: the port that its client uses; null otherwise. */
export function clientPort(line: string, port: number): number | null {
  const found = ENTRY.exec(line)?.groups;
  return found && Number(found.from) === port && Number(found.dport) !== port ? Number(found.dport) : null;
}

/** The lines of the kernel's list of connections; none where it has no such list, or this user may not read it. */
async function* entries(): AsyncGenerator<string> {
  const input = createReadStream("/proc/net/nf_conntrack");
  const lines = createInterface({ input });
  input.on("error", () => lines.close());
  try {
    yield* lines;
  } catch (error) {
    if (failureOfFile(error) === null) throw error;
  }
}

/** The ports that clients use for connections that netfilter sends to `port`, as far as conntrack has such connections. */
export async function translatedPorts(port: number): Promise<number[]> {
  const ports = new Set<number>();
  for await (const line of entries()) {
    const found = clientPort(line, port);
    if (found !== null) ports.add(found);
  }
  return [...ports];
}

/**
 * Where an open connection of this host to `port` from its own `localPort` really goes, as conntrack knows it; null if it is
 * not tracked, or the kernel has no list of connections.
 */
export async function translationOf(port: number, localPort: number): Promise<TranslatedTo | null> {
  for await (const line of entries()) {
    const found = readEntry(line, port, localPort);
    if (found) return found;
  }
  return null;
}
