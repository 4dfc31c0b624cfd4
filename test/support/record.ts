/** `xcopy record` on the online host, and other programs' view of what it wrote. */
import { afterAll, afterEach, beforeAll, beforeEach } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { RecordAccount } from "../../src/record/summary.ts";
import { createLab, type Lab } from "./lab.ts";
import { startNginx } from "./nginx.ts";
import { type PcapngFile, readPcapng } from "./pcapng.ts";
import type { Running } from "./process.ts";
import { XCOPY } from "./xcopy.ts";

export interface Record {
  running: Running;
  /** SIGTERM (or another signal), then the exit code and the account. */
  stop(signal?: NodeJS.Signals): Promise<{ code: number; account: RecordAccount }>;
  /** The same for one that ends by itself. */
  ended(): Promise<{ code: number; account: RecordAccount }>;
}

/** What a test of records has. */
export interface RecordLab {
  readonly lab: Lab;
  /** Of the test that runs. */
  readonly directory: string;
  /** A path in it. */
  file(name?: string): string;
}

/**
 * A lab for the tests of a file, made before the first of them and gone after the last; for each test an nginx on the online
 * host and a directory for what it records.
 */
export function useRecordLab(): RecordLab {
  let lab: Lab;
  let directory: string;
  let tests = 0;
  beforeAll(() => {
    lab = createLab();
  });
  beforeEach(async () => {
    directory = join(lab.directory, `record-${tests++}`);
    mkdirSync(directory);
    await startNginx(lab, lab.online, 80);
  });
  afterEach(() => lab.stopAll());
  afterAll(() => lab.remove());
  return {
    get lab() {
      return lab;
    },
    get directory() {
      return directory;
    },
    file: (name = "cap.pcapng") => join(directory, name),
  };
}

/** Starts it with `--json` and these arguments, and resolves when it records. `prefix`: a command that runs it. */
export async function startRecord(lab: Lab, args: string[], prefix: string[] = []): Promise<Record> {
  const running = lab.start(lab.online, [...prefix, XCOPY, "record", "--json", ...args]);
  await running.line(/^recording /);
  const account = (): RecordAccount => {
    const line = running.output.findLast((text) => text.startsWith("{"));
    if (!line) throw new Error(`xcopy record gave no account:\n${running.errors.join("\n")}`);
    return JSON.parse(line);
  };
  return {
    running,
    async stop(signal = "SIGTERM") {
      return { code: await running.stop(signal), account: account() };
    },
    async ended() {
      return { code: await running.exited, account: account() };
    },
  };
}

/** The files of a record in their order. */
export function recordedFiles(directory: string, prefix: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.startsWith(prefix))
    .sort()
    .map((name) => join(directory, name));
}

export function readAll(paths: string[]): PcapngFile[] {
  return paths.map((path) => readPcapng(path));
}

/** One row per packet that matches a display filter, as tshark sees it. Throws where tshark complains of the file. */
export function tshark(path: string, filter: string, fields: string[]): string[] {
  const command = ["tshark", "-n", "-r", path, "-Y", filter, "-T", "fields"];
  const options = ["-o", "tcp.desegment_tcp_streams:FALSE", "-o", "tcp.relative_sequence_numbers:FALSE"];
  const done = Bun.spawnSync([...command, ...options, ...fields.flatMap((field) => ["-e", field])]);
  if (done.exitCode !== 0) throw new Error(`tshark: ${done.stderr}`);
  return done.stdout.toString().split("\n").filter(Boolean);
}

/** What capinfos says: values by their names, those that are there several times as one list. */
export function capinfos(path: string): Map<string, string[]> {
  const done = Bun.spawnSync(["capinfos", "-M", path]);
  if (done.exitCode !== 0) throw new Error(`capinfos: ${done.stderr}`);
  const values = new Map<string, string[]>();
  for (const line of done.stdout.toString().split("\n")) {
    const found = /^\s*([^:=]+?)\s*[:=]\s+(.*)$/.exec(line);
    if (found) values.set(found[1]!, [...(values.get(found[1]!) ?? []), found[2]!]);
  }
  return values;
}
