/**
 * Three hosts as network namespaces, client -- online -- target, joined by veth pairs:
 *
 *     client net0 10.1.0.2 -- 10.1.0.1 front online back 10.0.0.1 -- 10.0.0.2 net0 target
 *
 * IPv6 has the same layout with fd00:1:: and fd00::, where the kernel has IPv6. The demo and the end-to-end tests run in it.
 */
import { existsSync, readdirSync } from "node:fs";
import { Failure } from "../native/failure.ts";

export const ONLINE = "10.1.0.1";
export const ONLINE6 = "fd00:1::1";
export const TARGET = "10.0.0.2";
export const TARGET6 = "fd00::2";

const HAS_IPV6 = existsSync("/proc/sys/net/ipv6");
const ROLES = ["client", "online", "target"] as const;

export interface Network {
  /** Names of the namespaces. */
  client: string;
  online: string;
  target: string;
  /** Ends every process in the namespaces and removes them. Synchronous, so that a signal handler can call it. */
  remove(): void;
}

/** Runs `ip` with these arguments; throws with what it printed when it fails. */
export function ip(...args: string[]): string {
  const done = Bun.spawnSync(["ip", ...args]);
  if (done.exitCode !== 0) {
    throw new Error(`Cannot run "ip ${args.join(" ")}": ${done.stderr.toString().trim()}`);
  }
  return done.stdout.toString();
}

/** Runs several lines of `ip -batch` in a namespace, or in this one (null): one process for all. Throws as `ip` does. */
export function ipLines(namespace: string | null, lines: string[]): void {
  const words = ["ip", ...(namespace ? ["-n", namespace] : []), "-batch", "-"];
  const done = Bun.spawnSync(words, { stdin: Buffer.from(lines.join("\n") + "\n") });
  if (done.exitCode !== 0) {
    throw new Error(`Cannot run "${words.join(" ")}": ${done.stderr.toString().trim()}`);
  }
}

/** The command line that runs `command` in a namespace; the process keeps the pid of the one that was started. */
export function inNamespace(namespace: string, command: string[]): string[] {
  return ["ip", "netns", "exec", namespace, ...command];
}

/** Throws a Failure where namespaces cannot be made: no root, no `ip`, a kernel without them. */
export function requireNamespaces(): void {
  if (process.geteuid?.() !== 0) {
    throw new Failure("Cannot make network namespaces: not root", "Run it with sudo.", 4);
  }
  if (!Bun.which("ip")) {
    throw new Failure(
      'Cannot make network namespaces: no command "ip" in PATH',
      "Install it: apt-get install iproute2",
      3,
    );
  }
  if (!existsSync("/proc/self/ns/net")) {
    throw new Failure(
      "Cannot make network namespaces: the kernel has none",
      "Use a kernel with CONFIG_NET_NS.",
      5,
    );
  }
}

let made = 0;

/** Makes the three hosts. Their names hold the pid of this process: `abandonedNamespaces` finds them if it is killed. */
export function createNetwork(): Network {
  const prefix = `xc${process.pid}-${made++}-`;
  const [client, online, target] = ROLES.map((role) => prefix + role) as [string, string, string];
  const remove = () => removeNamespaces(namespaces().filter((name) => name.startsWith(prefix)));
  const network = { client, online, target, remove };
  try {
    ipLines(
      null,
      [client, online, target].map((name) => `netns add ${name}`),
    );
    if (HAS_IPV6) for (const name of [client, online, target]) useAddressesAtOnce(name);
    join(client, "net0", ["10.1.0.2/24", "fd00:1::2/64"], online, "front", ["10.1.0.1/24", "fd00:1::1/64"]);
    join(online, "back", ["10.0.0.1/24", "fd00::1/64"], target, "net0", ["10.0.0.2/24", "fd00::2/64"]);
  } catch (error) {
    network.remove();
    throw error;
  }
  return network;
}

/** Turns duplicate address detection (RFC 4862) off, so that IPv6 addresses work at once: no other host is on these links. */
function useAddressesAtOnce(namespace: string): void {
  const set = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad";
  Bun.spawnSync(inNamespace(namespace, ["sh", "-c", set]));
}

function join(
  left: string,
  leftName: string,
  leftAddresses: string[],
  right: string,
  rightName: string,
  rightAddresses: string[],
): void {
  ip("-n", left, "link", "add", leftName, "type", "veth", "peer", "name", rightName, "netns", right);
  for (const [namespace, name, addresses] of [
    [left, leftName, leftAddresses],
    [right, rightName, rightAddresses],
  ] as const) {
    ipLines(namespace, [
      ...addresses
        .filter((address) => HAS_IPV6 || !address.includes(":"))
        .map((address) => `addr add ${address} dev ${name}`),
      `link set ${name} up`,
      "link set lo up",
    ]);
  }
}

/** Adds an address with its prefix length ("10.0.0.7/24", "fd00::7/64"); usable at once. */
export function addAddress(namespace: string, name: string, address: string): void {
  ip("-n", namespace, "addr", "add", address, "dev", name);
}

/** Namespaces, made by processes like this one, whose process is gone without having removed them. */
export function abandonedNamespaces(): string[] {
  return namespaces().filter((name) => {
    const pid = /^xc(\d+)(?!\d)/.exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
}

/** Ends every process in these namespaces and removes them. */
export function removeNamespaces(names: string[]): void {
  for (const name of names) {
    for (const pid of ip("netns", "pids", name).split("\n")) {
      try {
        if (pid) process.kill(Number(pid), "SIGKILL");
      } catch {
        // It has just ended by itself.
      }
    }
    ip("netns", "del", name);
  }
}

function namespaces(): string[] {
  return existsSync("/run/netns") ? readdirSync("/run/netns") : [];
}
