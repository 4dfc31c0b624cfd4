/**
 * The counters of the reader, in the memory that it shares. Each packet counts in exactly one of those from `requests` to
 * `fragments`; those after these are additional.
 */
export const TRACE_COUNTERS = [
  /** Trace files to read, and those that are finished; each loop adds to both. */
  "files",
  "filesDone",
  /** Bytes read of the files as stored (compressed), and their total in all loops; 0 if that is not known (a pipe). */
  "bytes",
  "bytesTotal",
  "packets",
  /** Put into the ring. */
  "requests",
  "pureAcks",
  "duplicates",
  /** Seen before translation, or after: of the connections and datagrams that are counted below. */
  "translated",
  "unsampled",
  "notIp",
  "notWanted",
  /** Before `start` or after `end`. */
  "outside",
  /** Cut by the capture within their headers. */
  "headersCut",
  "malformed",
  /** Requests with a wrong checksum, which production has dropped. */
  "checksumErrors",
  /** Fragments that do not complete their IP packet. */
  "fragments",
  /** Bytes of the IP packets of requests, on the wire. */
  "requestBytes",
  /** Packets of services to clients that were put into the ring too; `notWanted` counts them, too. */
  "answers",
  /** Requests of which bytes at the end are missing. */
  "snapped",
  /** Fragmented IP packets that were never complete, and those whose fragments overlapped. */
  "fragmentsIncomplete",
  "fragmentsOverlapping",
  /** Connections and datagrams that were seen twice, before and after translation. */
  "translatedConnections",
  "translatedDatagrams",
  /** Packets of an unknown link type; `notIp` counts them, too. */
  "unknownLink",
  /** Packets with an earlier time than the packet before them. */
  "unordered",
  /** How often a clock was set while a trace was made, or nothing came for days; and packets whose stamp fits none around it. */
  "clockSteps",
  "strayStamps",
  /** Files that could not be read to their end. */
  "failures",
] as const;

export type TraceCounter = (typeof TRACE_COUNTERS)[number];

/** Index of a counter in `TraceMemory.counters`. */
export const TRACE_INDEX = Object.fromEntries(TRACE_COUNTERS.map((name, index) => [name, index])) as Record<
  TraceCounter,
  number
>;
