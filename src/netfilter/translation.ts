/** Where this host's netfilter sends a connection that it translates: DNAT rules, service addresses of Kubernetes and Docker. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { parseAddress, sameAddress } from "../config/address.ts";
import { failureOfFile } from "../native/failure.ts";

/** An end of a connection as this host's sockets know it. */
export interface Endpoint {
  /** 4 or 16 bytes. */
  address: Uint8Array;
  port: number;
}

/** Where packets really go. */
export interface TranslatedTo {
  address: string;
  port: number;
}

/** The two directions of an entry: net/netfilter/nf_conntrack_standalone.c, ct_seq_show. */
const ENTRY =
  /^ipv[46] +\d+ tcp .*?src=(?<client>\S+) dst=(?<server>\S+) sport=(?<sport>\d+) dport=(?<dport>\d+) .*?src=(?<src>\S+) dst=\S+ sport=(?<from>\d+) /;

/**
 * What an entry of /proc/net/nf_conntrack says about the connection from `client` to `server`: where its packets really go; null if
 * the entry is of another connection.
 */
export function readEntry(line: string, client: Endpoint, server: Endpoint): TranslatedTo | null {
  const found = ENTRY.exec(line)?.groups;
  if (!found || Number(found.sport) !== client.port || Number(found.dport) !== server.port) return null;
  if (!isAddress(found.client!, client.address) || !isAddress(found.server!, server.address)) return null;
  return { address: found.src!, port: Number(found.from) };
}

/** Whether a text, in which conntrack writes IPv6 addresses out, is that address. */
function isAddress(text: string, address: Uint8Array): boolean {
  const bytes = parseAddress(text)?.bytes;
  return bytes !== undefined && sameAddress(bytes, address);
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
 * Where an open connection of this host from its own end `client` to `server` really goes, as conntrack knows it; null if it is
 * not tracked, or the kernel has no list of connections.
 */
export async function translationOf(client: Endpoint, server: Endpoint): Promise<TranslatedTo | null> {
  for await (const line of entries()) {
    const found = readEntry(line, client, server);
    if (found) return found;
  }
  return null;
}
