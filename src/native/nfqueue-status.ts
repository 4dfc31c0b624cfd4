/** Statistics of netfilter queues from /proc (net/netfilter/nfnetlink_queue.c, seq_show), and which process reads them. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export const NETLINK_NETFILTER = 12;

/** The kernel's counters of one queue, in packets. */
export interface QueueStatistics {
  /** Netlink port of its reader: often, but not always, the process id. */
  portId: number;
  /** Waiting for a verdict. */
  waiting: number;
  /** Dropped because the queue was full. */
  full: number;
  /** Dropped because the reader's receive buffer was full. */
  lost: number;
}

/** The counters of a queue in this thread's network namespace; null if it has no reader. Too slow to call for each packet. */
export function readStatistics(queue: number): QueueStatistics | null {
  for (const line of readLines("/proc/thread-self/net/netfilter/nfnetlink_queue")) {
    // Queue, port, waiting, copy mode, copy range, dropped, dropped in user space, last id, 1.
    const [number, portId, waiting, , , full, lost] = line.trim().split(/\s+/).map(Number);
    if (number === queue) return { portId: portId!, waiting: waiting!, full: full!, lost: lost! };
  }
  return null;
}

/** The process that reads a queue, for messages; null if not found. The netlink port gives the socket, and that the process. */
export function holderOf(queue: number): string | null {
  const portId = readStatistics(queue)?.portId;
  // Socket, protocol, port, ..., inode.
  const socket = readLines("/proc/thread-self/net/netlink")
    .map((line) => line.trim().split(/\s+/))
    .find((fields) => Number(fields[1]) === NETLINK_NETFILTER && Number(fields[2]) === portId);
  const inode = socket?.at(-1);
  if (inode === undefined) return null;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (hasSocket(pid, inode)) return `"${readLines(`/proc/${pid}/comm`)[0] ?? "?"}" with process id ${pid}`;
  }
  return null;
}

function hasSocket(pid: string, inode: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`;
      } catch {
        return false; // Closed meanwhile.
      }
    });
  } catch {
    return false; // Ended meanwhile.
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n").filter(Boolean);
  } catch {
    return [];
  }
}
