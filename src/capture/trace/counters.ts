/**
 * What the reader counts, in the memory that it shares. Each packet ends in exactly one of those from `requests` to
 * `fragments`; what stands behind them is told besides.
 */
export const TRACE_COUNTERS = [
  /** Trace files that were opened, those that are read to their end; each loop counts anew. */
  "files",
  "filesDone",
  /** Bytes taken of them as they are stored, and how many there are in all loops; 0 if that is not known (a pipe). */
  "bytes",
  "bytesTotal",
  "packets",
  /** Put into the ring. */
  "requests",
  "pureAcks",
  "duplicates",
  "unsampled",
  "notIp",
  "notWanted",
  /** Before `start` or after `end`. */
  "outside",
  /** Cut by the capture within their headers: nothing can be told of them. */
  "headersCut",
  "malformed",
  /** Taken by a datagram that they do not complete. */
  "fragments",
  /** Bytes of IP packets, of requests, on the wire. */
  "requestBytes",
  /** Requests of which bytes at the end are missing. */
  "snapped",
  /** Datagrams that were never whole, and those whose fragments overlapped. */
  "fragmentsIncomplete",
  "fragmentsOverlapping",
  /** Packets of a link type that is not known; they are counted as `notIp` as well. */
  "unknownLink",
  /** Packets with a time before that of the packet before them. */
  "unordered",
  /** Files that could not be read to their end. */
  "failures",
] as const;

export type TraceCounter = (typeof TRACE_COUNTERS)[number];

/** Index of a counter in `TraceMemory.counters`. */
export const TRACE_INDEX = Object.fromEntries(TRACE_COUNTERS.map((name, index) => [name, index])) as Record<
  TraceCounter,
  number
>;
