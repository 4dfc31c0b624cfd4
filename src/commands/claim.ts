/**
 * Two xcopies on one host must not use the same connections to a target: each would see the other's answers as
 * those to its own, or not at all. Each leaves a file under /run/xcopy that says which it uses.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { currentNamespace, startTimeOf } from "../capture/clsact.ts";
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { formatPorts, type PortRange, sharedPorts } from "../config/ports.ts";
import { Failure } from "../native/failure.ts";
import type { PathConfig } from "../worker/config.ts";

interface Claim {
  pid: number;
  /** Of the process, in clock ticks since boot: process ids are used again. */
  startTime: number | null;
  /** Inode of the network namespace. */
  namespace: number;
  /** `10.0.0.1 10.0.0.2:8080`: from where to where. */
  paths: string[];
  ports: PortRange[];
}

function readClaim(file: string): Claim | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Claim;
  } catch {
    return null;
  }
}

function conflict(mine: Claim, other: Claim): Failure | null {
  if (mine.namespace !== other.namespace || sharedPorts(mine.ports, other.ports) === 0) return null;
  const path = mine.paths.find((one) => other.paths.includes(one));
  if (path === undefined) return null;
  return new Failure(
    `Cannot use ports ${formatPorts(mine.ports)} towards "${path.split(" ")[1]}": xcopy with process id ${other.pid} uses them`,
    "Stop that one, add its -x to this command, or give each of the two its own --ports.",
    3,
  );
}

/**
 * Claims the ports for connections along these paths in this network namespace; returns what gives them back. Claims of
 * processes that are gone do not count and are removed. Throws a Failure (exit code 3) if another process has them.
 */
export function claimPorts(paths: PathConfig[], ports: PortRange[], directory = "/run/xcopy"): () => void {
  const mine: Claim = {
    pid: process.pid,
    startTime: startTimeOf(process.pid),
    namespace: currentNamespace(),
    paths: paths.map(
      (path) => `${formatAddress(path.local)} ${formatEndpoint(path.target, path.targetPort)}`,
    ),
    ports,
  };
  mkdirSync(directory, { recursive: true });
  const own = `${directory}/ports-${mine.pid}.json`;
  const release = () => rmSync(own, { force: true });
  // Written first, looked around then: of two that start at the same time at least one sees the other.
  writeFileSync(`${own}.new`, JSON.stringify(mine), { mode: 0o600 });
  renameSync(`${own}.new`, own);
  for (const name of readdirSync(directory)) {
    const file = `${directory}/${name}`;
    if (!/^ports-[0-9]+\.json$/.test(name) || file === own) continue;
    const other = readClaim(file);
    if (!other || startTimeOf(other.pid) !== other.startTime) {
      rmSync(file, { force: true });
      continue;
    }
    const failure = conflict(mine, other);
    if (failure) {
      release();
      throw failure;
    }
  }
  return release;
}
