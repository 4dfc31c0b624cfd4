/** What each mode keeps of its privileges once it works: the table "What it gives up" of docs/security.md. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CAP } from "../../src/native/bpf/capabilities.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { recordTraffic } from "../support/recording.ts";
import { TRANSFER, URL_ONLINE } from "../support/served.ts";
import { privilegesOfAll } from "../support/threads.ts";
import { load } from "../support/wrk.ts";
import { XCOPY } from "../support/xcopy.ts";

let lab: Lab;
/** A pipe that gives a recording with one session, and stays open. */
let recording: string;
beforeAll(async () => {
  lab = createLab();
  await startNginx(lab, lab.online, 80);
  recording = join(lab.directory, "pipe");
  run(lab.online, "mkfifo", recording);
  await recordTraffic(lab, "recorded.pcap", () => load(lab, { url: URL_ONLINE, rate: 10, count: 1 }));
  await lab.stopAll();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const setOf = (...names: (keyof typeof CAP)[]) =>
  names.reduce((bits, name) => bits | (1n << BigInt(CAP[name])), 0n).toString(16);
const NETWORK = setOf("NET_ADMIN", "NET_RAW");
const WITHOUT_BPF = ["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon"];
const COPY = ["copy", "-x", TRANSFER];

test.each<[what: string, words: string[], kept: string, passedOn: string, prefix?: string[]]>([
  ["a copy by eBPF", COPY, NETWORK, "0"],
  [
    "a copy that filters in the kernel",
    [...COPY, "-F", "tcp"],
    setOf("NET_ADMIN", "NET_RAW", "BPF", "PERFMON"),
    "0",
  ],
  [
    "a copy that may be told to filter later",
    ["copy", "--config", "TABLE"],
    setOf("NET_ADMIN", "NET_RAW", "BPF", "PERFMON"),
    "0",
  ],
  ["a copy by packet sockets", [...COPY, "--capture", "packet"], NETWORK, "0"],
  ["a copy by raw sockets", [...COPY, "--capture", "raw"], NETWORK, "0"],
  ["a copy by libpcap", [...COPY, "--capture", "pcap"], NETWORK, "0"],
  ["a copy that takes responses by a rule of netfilter", COPY, NETWORK, NETWORK, WITHOUT_BPF],
  ["a copy of a recording", [...COPY, "-i", "RECORDING"], NETWORK, "0"],
  [
    "an intercept that filters, on interfaces that come later too",
    ["intercept", "-F", "tcp and src port 8080", "--linger", "0", "--key-file", "KEY"],
    setOf("NET_ADMIN", "BPF", "PERFMON"),
    "0",
  ],
  [
    "an intercept by a queue of netfilter, with its rule",
    ["intercept", "--mode", "nfqueue", "-o", ":8080", "--key-file", "KEY"],
    setOf("NET_ADMIN"),
    setOf("NET_ADMIN"),
  ],
  ["a record", ["record", "-x", "80", "-w", "FILE"], "0", "0"],
])("%s", async (_, words, kept, passedOn, prefix = []) => {
  await startNginx(lab, lab.target, 8080);
  if (words.includes("RECORDING")) {
    const file = join(lab.directory, "recorded.pcap");
    lab.start(lab.online, ["sh", "-c", `exec 3>"${recording}"; cat "${file}" >&3; exec sleep 600`]);
  }
  const table = join(lab.directory, "copy.toml");
  writeFileSync(table, `[copy]\ntransfer = "${TRANSFER}"\n`);
  const places: Record<string, string> = {
    RECORDING: recording,
    KEY: keyFile(),
    FILE: join(lab.directory, "recorded.pcapng"),
    TABLE: table,
  };
  const where = words[0] === "intercept" ? lab.target : lab.online;
  const running = lab.start(where, [...prefix, XCOPY, ...words.map((word) => places[word] ?? word)]);
  await running.line(/^(copying |catching .* copies connect to|recording )/);
  expect(privilegesOfAll(running.pid)).toMatchObject({
    permitted: kept,
    effective: kept,
    inheritable: passedOn,
    noNewPrivileges: true,
    isFiltered: true,
  });
  expect(await running.stop()).toBe(0);
});

let made: string | undefined;

function keyFile(): string {
  if (made === undefined) {
    made = join(lab.directory, "key");
    run(lab.online, XCOPY, "key", made);
  }
  return made;
}
