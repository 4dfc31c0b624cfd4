/** Recordings of what reaches online, made by tcpdump, and their replay by `xcopy copy -i`. */
import { join } from "node:path";
import type { Account } from "../../src/copy/account/account.ts";
import { TARGET } from "../../src/demo/network.ts";
import { startTcpdump } from "./capture.ts";
import type { Lab } from "./lab.ts";
import { type Nginx, readRequests, startNginx } from "./nginx.ts";
import { load, type WholeLoad } from "./wrk.ts";
import { faultsOf, launchCopy } from "./xcopy.ts";

/** A frame of the kernel's memory for packets with this and its own header has 64 KiB. */
const LARGEST = 65_400;

export interface RecordOptions {
  /** Where tcpdump looks: "front" on online, or "any" for all interfaces (cooked frames). */
  device?: string;
  filter?: string;
  /** Bytes of the largest packet; the smaller, the more packets may wait for tcpdump. Default: what TCP makes at most. */
  snaplen?: number;
  /** More words for tcpdump. */
  words?: string[];
}

/** Records into a file of the lab's directory, from a namespace, while `produce` runs; returns its path. */
export async function recordTraffic(
  lab: Lab,
  name: string,
  produce: () => Promise<unknown>,
  { device = "front", filter = "tcp port 80", snaplen = LARGEST, words = [] }: RecordOptions = {},
): Promise<string> {
  const file = join(lab.directory, name);
  // The kernel may keep 256 MB (-B): with --immediate-mode a packet takes a frame of the whole snapshot length.
  const memory = ["-B", "262144", "--immediate-mode", "-s", `${snaplen}`];
  const options = ["-i", device, ...memory, "-U", "-w", file, ...words, filter];
  const tcpdump = await startTcpdump(lab, lab.online, options);
  await produce();
  const { dropped } = await tcpdump.stop();
  if (dropped > 0) throw new Error(`tcpdump lost packets:\n${tcpdump.running.errors.join("\n")}`);
  return file;
}

export interface Recording {
  file: string;
  /** What online logged of it. */
  sent: string[];
}

/** Records a load on an nginx that is started for it on port 80 of online, and stopped. */
export async function recordLoad(
  lab: Lab,
  name: string,
  options: Partial<WholeLoad> & Pick<WholeLoad, "url" | "count">,
  recordOptions?: RecordOptions,
): Promise<Recording> {
  const online = await startNginx(lab, lab.online, 80);
  const file = await recordTraffic(
    lab,
    name,
    async () => {
      const { requests, errors } = await load(lab, { rate: 2000, ...options });
      if (requests !== options.count || errors > 0)
        throw new Error(`wrk: ${requests} requests, ${errors} errors`);
    },
    recordOptions,
  );
  await online.stop();
  return { file, sent: await contentsOf(online) };
}

/** All that makes a request, in the order of their ends. */
export async function contentsOf(server: Nginx): Promise<string[]> {
  return (await readRequests(server)).map(({ content }) => content);
}

export interface Replay {
  code: number;
  report: Account;
  /** Lines of stderr. */
  errors: string[];
}

/** Replays to its end, to port 8080 of the target unless `args` say where; the accounts add up all the time. */
export async function replay(lab: Lab, args: string[]): Promise<Replay> {
  const transfer = args.includes("-x") ? [] : ["-x", `80-${TARGET}:8080`];
  const copy = launchCopy(lab, [...transfer, ...args]);
  const code = await copy.running.exited;
  const report = copy.reports().at(-1);
  const { errors } = copy.running;
  if (!report) throw new Error(errors.join("\n"));
  const faults = faultsOf(copy.reports());
  if (faults.length > 0) throw new Error(faults.join("\n"));
  return { code, report, errors };
}
