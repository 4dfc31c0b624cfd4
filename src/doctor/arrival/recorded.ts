/** Looks at the beginning of recorded traffic as at live packets. */
import { TraceError } from "../../capture/trace/frame.ts";
import { Input } from "../../capture/trace/input.ts";
import { findTraces } from "../../capture/trace/paths.ts";
import { isStream, reasonOf } from "../../capture/trace/source.ts";
import { IP_OK, IpHeader, parseIp } from "../../wire/ip-header.ts";
import { networkLayer } from "../../wire/link.ts";
import { innerIp } from "../../wire/tunnel.ts";
import type { Traffic } from "./traffic.ts";

/** Packets that are read of all files together, and the window of one. */
const MOST_PACKETS = 50_000;
const WINDOW = 1 << 20;
const MOST_DEPTH = 4;

export interface ReadPart {
  /** Packets, of TCP and UDP or not. */
  packets: number;
  /** Whether the files have more. */
  isPart: boolean;
  /** Why a file could not be read, or not to its end. */
  faults: string[];
}

/** Shows `traffic` the first packets of the files. Standard input is left to the copy. */
export async function readBeginning(files: readonly string[], traffic: Traffic): Promise<ReadPart> {
  const part: ReadPart = { packets: 0, isPart: false, faults: [] };
  const traces = files.flatMap((path) => tracesOf(path, part));
  const paths = traces.filter((path) => !isStream(path));
  if (paths.length < traces.length) part.faults.push("standard input and pipes are not read by doctor");
  for (const path of paths) {
    if (part.packets >= MOST_PACKETS) {
      part.isPart = true;
      break;
    }
    await readFile(path, traffic, part);
  }
  return part;
}

function tracesOf(path: string, { faults }: ReadPart): string[] {
  try {
    return findTraces([path], (text) => faults.push(text)).map((trace) => trace.path);
  } catch (error) {
    faults.push(`"${path}": ${reasonOf(error)}`);
    return [];
  }
}

async function readFile(path: string, traffic: Traffic, part: ReadPart): Promise<void> {
  const input = new Input(path, 0, WINDOW, { onStep() {}, onStray() {} });
  const header = new IpHeader();
  try {
    await input.open();
    while (input.time !== Infinity && part.packets < MOST_PACKETS) {
      part.packets++;
      const { frame } = input;
      let [ip, end, wireEnd] = [
        networkLayer(frame.view, frame.start, frame.end, frame.linkType),
        frame.end,
        frame.start + frame.length,
      ];
      for (let depth = 0; depth < MOST_DEPTH && ip >= 0; depth++) {
        if (parseIp(frame.view, ip, end, wireEnd, header) !== IP_OK) break;
        traffic.see(frame.bytes, frame.view, header, { ifindex: 0, leaves: false });
        [end, wireEnd] = [header.end, header.ip + header.length];
        ip = innerIp(frame.view, header.protocol, header.transport, end);
      }
      const more = input.advance();
      if (!(more === true || (await more))) return;
    }
    if (input.time !== Infinity) part.isPart = true;
  } catch (error) {
    if (!(error instanceof TraceError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    part.faults.push(`"${path}": ${reasonOf(error)}`);
  } finally {
    input.close();
  }
}
