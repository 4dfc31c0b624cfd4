/**
 * Claims of source ports. Two xcopies on one host must not use the same addresses and ports towards a target: they would take
 * each other's answers. Each process writes those that it uses to a file in /run/xcopy.
 */
import { readFileSync, rmSync } from "node:fs";
import { currentNamespace, hasEnded, startTimeOf } from "../capture/clsact.ts";
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { formatPorts, type PortRange, sharedPorts } from "../config/ports.ts";
import { causeOfFile, Failure } from "../native/failure.ts";
import { DIRECTORY, namesIn, writeRecord } from "../native/run-directory.ts";

/** A path to a target; addresses are bytes in network order. `local` is null where connections come from clients' addresses. */
export interface ClaimedPath {
  local: Uint8Array | null;
  target: Uint8Array;
  targetPort: number;
  transport?: "udp";
}

interface Claim {
  pid: number;
  /** Start time of the process in clock ticks since boot: process ids are reused. */
  startTime: number | null;
  /** Inode of the network namespace. */
  namespace: number;
  /** Source and target, as `10.0.0.1 10.0.0.2:8080`; the source is `clients` for the clients' addresses. */
  paths: string[];
  ports: PortRange[];
}

/** The claims of running processes, and the files of processes that have ended or that cannot be read. */
function readClaims(directory: string): { live: Claim[]; stale: string[] } {
  const live: Claim[] = [];
  const stale: string[] = [];
  for (const name of namesIn(directory)) {
    const pid = /^ports-([0-9]+)\.json$/.exec(name)?.[1];
    if (!pid) continue;
    const file = `${directory}/${name}`;
    try {
      const claim = JSON.parse(readFileSync(file, "utf8")) as Claim;
      if (hasEnded(Number(pid), claim.startTime)) stale.push(file);
      else live.push(claim);
    } catch (error) {
      // A missing file was just removed by its process, and one that this user may not read is of another one; any other
      // unreadable file is useless.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "EACCES") stale.push(file);
    }
  }
  return { live, stale };
}

function refuseConflict(mine: Claim, other: Claim): void {
  if (mine.namespace !== other.namespace || sharedPorts(mine.ports, other.ports) === 0) return;
  const path = mine.paths.find((one) => other.paths.includes(one));
  if (path === undefined) return;
  throw new Failure(
    `Cannot use ports ${formatPorts(mine.ports)} towards "${path.split(" ")[1]}": xcopy with process id ${other.pid} uses them`,
    "Stop that one, add its -x to this command, or give each its own part of the ports: -f 0/2 and -f 1/2.",
    3,
  );
}

/** What this process would claim. */
function claimOf(paths: ClaimedPath[], ports: PortRange[]): Claim {
  return {
    pid: process.pid,
    startTime: startTimeOf(process.pid),
    namespace: currentNamespace(),
    paths: paths.map(
      ({ local, target, targetPort, transport }) =>
        `${local ? formatAddress(local) : "clients"} ${transport ? `${transport}:` : ""}${formatEndpoint(target, targetPort)}`,
    ),
    ports,
  };
}

/** Throws a Failure (exit code 3) if a running process has claimed any of these ports; claims nothing itself. */
export function refuseClaimed(paths: ClaimedPath[], ports: PortRange[], directory = DIRECTORY): void {
  const mine = claimOf(paths, ports);
  for (const other of readClaims(directory).live) if (other.pid !== mine.pid) refuseConflict(mine, other);
}

/** Removes the claims of processes that have ended; returns the files that it removed, without those that it may not. */
export function removeStaleClaims(directory = DIRECTORY): string[] {
  const { stale } = readClaims(directory);
  return stale.filter(tryToRemove);
}

function tryToRemove(file: string): boolean {
  try {
    rmSync(file, { force: true });
    return true;
  } catch {
    return false;
  }
}

/** Writes a file at once; returns why it cannot, or null. */
function writeClaim(file: string, claim: Claim): string | null {
  try {
    writeRecord(file, JSON.stringify(claim), 0o600);
    return null;
  } catch (error) {
    return causeOfFile(error);
  }
}

/**
 * Claims the ports for connections on these paths in this network namespace; returns the function that releases them. Where the
 * claim cannot be written, `warn` gets a line about it, and other processes do not see it. Throws a Failure (exit code 3) if a
 * running process has claimed any of them.
 */
export function claimPorts(
  paths: ClaimedPath[],
  ports: PortRange[],
  warn: (line: string) => void,
  directory = DIRECTORY,
): () => void {
  const mine = claimOf(paths, ports);
  removeStaleClaims(directory);
  const own = `${directory}/ports-${mine.pid}.json`;
  // Writes its own claim before it reads the others: of two that start at the same time, at least one sees the other.
  const cause = writeClaim(own, mine);
  if (cause !== null) {
    warn(
      `Cannot claim the ports in "${directory}": ${cause}; another xcopy that uses them will not be refused\nGive the service this directory (systemd: RuntimeDirectory=xcopy).`,
    );
  }
  const release = () => {
    // A directory that became read-only meanwhile: the claim ends with the process anyway.
    if (cause === null) tryToRemove(own);
  };
  try {
    refuseClaimed(paths, ports, directory);
  } catch (error) {
    release();
    throw error;
  }
  return release;
}
