/** How `xcopy record` ends, and programs that read its output: every loss is counted, and every file is complete. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ONLINE } from "../../src/demo/network.ts";
import { kernelObjects, stillThere } from "../support/kernel-objects.ts";
import { readPcapng } from "../support/pcapng.ts";
import { type Running, run } from "../support/process.ts";
import { capinfos, recordedFiles, startRecord, useRecordLab } from "../support/record.ts";
import { startScript, startService } from "../support/scripts.ts";
import { until } from "../support/until.ts";
import { type Load, load, startLoad } from "../support/wrk.ts";
import { hostState, XCOPY } from "../support/xcopy.ts";

const scene = useRecordLab();
const { file } = scene;
const URL = `http://${ONLINE}`;

/** Ends a load whose result nobody wants. */
async function stopLoad({ running, result }: Load): Promise<void> {
  result.catch(() => {});
  await running.stop();
}

test("a program that reads the output sees packets while it records", async () => {
  const record = await startRecord(scene.lab, ["-x", "80", "-w", file()]);
  await load(scene.lab, { url: URL, rate: 100, count: 20, connections: 5 });
  const seen = await until("the file has the requests", () => {
    const { packets, rest } = readPcapng(file());
    expect(rest).toBe(0);
    return packets.length >= 20 ? packets.length : null;
  });
  const { account } = await record.stop();
  expect(account.written.packets).toBeGreaterThanOrEqual(seen);
});

test("standard output has packets and nothing else", async () => {
  const command = '"$1" record -x 80 -w - -c 100 >"$2"';
  const shell = scene.lab.start(scene.lab.online, ["sh", "-c", command, "sh", XCOPY, file()]);
  await shell.line(/^recording /);
  await load(scene.lab, { url: URL, rate: 500, count: 200, connections: 10 });
  expect(await shell.exited).toBe(0);
  expect(readPcapng(file())).toMatchObject({ rest: 0 });
  expect(capinfos(file()).get("Number of packets")?.[0]).toBe("100");
});

test("a reader that ends also ends it, with an error", async () => {
  const command = '"$1" record -x 80 -w - | head -c 3000 >"$2"; echo "code $PIPESTATUS" >&2';
  const shell = scene.lab.start(scene.lab.online, ["bash", "-c", command, "bash", XCOPY, file()]);
  await shell.line(/^recording /);
  const client = startLoad(scene.lab, { url: URL, rate: 500, count: 5000, connections: 10 });
  await shell.exited;
  await stopLoad(client);
  expect(shell.errors).toContain('Cannot write "standard output": broken pipe');
  expect(shell.errors.at(-1)).toBe("code 1");
});

describe("ends by itself", () => {
  test("after -c packets", async () => {
    const record = await startRecord(scene.lab, ["-x", "80", "-w", file(), "-c", "777"]);
    const client = startLoad(scene.lab, { url: URL, rate: 2000, count: 10_000 });
    const { code, account } = await record.ended();
    await stopLoad(client);
    expect(code).toBe(0);
    expect(account).toMatchObject({ ended: "count", written: { packets: 777 } });
    expect(readPcapng(file()).packets.length).toBe(777);
  });

  test("before --limit-bytes", async () => {
    const args = ["--limit-bytes", "300k", "--rotate-size", "100k"];
    const record = await startRecord(scene.lab, ["-x", "80", "-w", file(), ...args]);
    const client = startLoad(scene.lab, { url: URL, rate: 2000, count: 10_000 });
    const { code, account } = await record.ended();
    await stopLoad(client);
    expect(code).toBe(0);
    expect(account.ended).toBe("limit");
    const bytes = recordedFiles(scene.directory, "cap").reduce((sum, path) => sum + statSync(path).size, 0);
    expect(bytes).toBe(account.written.bytes);
    expect(bytes).toBeLessThanOrEqual(300_000);
  });

  test("after --duration", async () => {
    const record = await startRecord(scene.lab, ["-x", "80", "-w", file(), "--duration", "1s"]);
    const { code, account } = await record.ended();
    expect(code).toBe(0);
    expect(account.ended).toBe("duration");
    expect(readPcapng(file()).statistics.length).toBe(1);
  });
});

test("a full disk ends it with a complete file, and production goes on", async () => {
  const small = file("small");
  mkdirSync(small);
  // The file system is seen by this process only: what is on it is copied before it goes.
  const script = 'mount -t tmpfs -o size=1m none "$0" && "$@"; code=$?; cp -r "$0" "$0.out"; exit $code';
  const prefix = ["unshare", "-m", "sh", "-c", script, small];
  const record = await startRecord(scene.lab, ["-x", "80", "-w", join(small, "cap.pcapng")], prefix);
  const result = await load(scene.lab, { url: URL, rate: 5000, count: 20_000 });
  const { code, account } = await record.ended();

  expect(result).toMatchObject({ requests: 20_000, errors: 0 });
  expect(code).toBe(1);
  const errors = record.running.errors.join("\n");
  expect(errors).toContain(`Cannot write "${join(small, "cap.pcapng")}": no space left on device\n`);
  expect(errors).toContain("What was written before is whole and can be read.");
  const path = join(`${small}.out`, "cap.pcapng");
  const { packets, rest } = readPcapng(path);
  expect(rest).toBe(0);
  expect(packets.length).toBeGreaterThan(1000);
  expect(packets.length).toBe(account.written.packets);
  expect(account.ended).toBe("error");
  const { pending, left } = account.written;
  expect(account.capture.packets).toBe(packets.length + pending + left);
  expect(capinfos(path).get("Number of packets")?.[0]).toBe(`${packets.length}`);
});

test("killed, it leaves a file that can be read, and no program", async () => {
  const before = hostState(scene.lab.online);
  const record = await startRecord(scene.lab, ["-x", "80", "--both", "-w", file()]);
  const objects = kernelObjects(record.running.pid);
  expect(objects.filter(({ kind }) => kind === "link").length).toBe(6);
  const client = startLoad(scene.lab, { url: URL, rate: 5000, count: 15_000 });
  await until("something is written", () => statSync(file()).size > 1_000_000);
  await record.running.stop("SIGKILL");
  expect(await client.result).toMatchObject({ requests: 15_000, errors: 0 });

  // The last write may have been cut anywhere; whoever reads the file gets all that is whole in it.
  const { packets, rest } = readPcapng(file());
  expect(packets.length).toBeGreaterThan(1000);
  const shown = Bun.spawnSync(["tshark", "-n", "-r", file(), "-T", "fields", "-e", "frame.number"]);
  expect(shown.stdout.toString().trim().split("\n").length).toBe(packets.length);
  expect(shown.stderr.toString().includes("cut short")).toBe(rest > 0);
  expect(await until("the programs are gone", () => stillThere(objects).length === 0)).toBe(true);
  expect(hostState(scene.lab.online)).toBe(before);
});

test("packets without room in the rings are in the account and in the file", async () => {
  await startService(scene.lab, scene.lab.online, "sink.ts", "81");
  // Rings of 1 % of the memory of a large host would take all of it.
  const record = await startRecord(scene.lab, ["-x", "81", "-w", file(), "-B", "32"]);
  process.kill(record.running.pid, "SIGSTOP");
  const client = startScript(scene.lab, scene.lab.client, "pour.ts", ONLINE, "81", "80000000", "0", "2");
  expect([await client.exited, client.errors]).toEqual([0, []]);
  process.kill(record.running.pid, "SIGCONT");
  const { account } = await record.stop();
  const { lost, inert, packets } = account.capture;
  expect(lost + inert).toBeGreaterThan(0);
  expect(account.written.packets).toBe(packets);
  const [statistics] = readPcapng(file()).statistics;
  expect(statistics).toMatchObject({ received: packets + lost, dropped: lost, delivered: packets });
  expect(statistics!.comments[0]).toContain(`no room in the rings ${lost}, xcopy stalled ${inert},`);
  expect(record.running.errors.join("\n")).toContain("what was not recorded:");
});

test("makes no file if it cannot record", async () => {
  const refused = scene.lab.start(scene.lab.online, [
    XCOPY,
    "record",
    "-x",
    "80",
    "-w",
    join(scene.directory, "none", "cap"),
  ]);
  expect(await refused.exited).toBe(2);
  expect(refused.errors).toEqual([
    `Cannot use -w "${join(scene.directory, "none", "cap")}": no such file or directory`,
    "Name a file in a directory that is there and can be written.",
  ]);
  run(scene.lab.online, "touch", file());
  const taken = scene.lab.start(scene.lab.online, [XCOPY, "record", "-x", "80", "-w", file()]);
  expect(await taken.exited).toBe(2);
  expect(taken.errors).toEqual([
    `Cannot use -w "${file()}": "${file()}" is there already`,
    "Name another file, or replace it with --overwrite.",
  ]);
  const dry = scene.lab.start(scene.lab.online, [
    XCOPY,
    "record",
    "-x",
    "80",
    "-w",
    file("dry"),
    "--dry-run",
  ]);
  expect(await dry.exited).toBe(0);
  expect(dry.output.join("\n")).toContain("capture   requests to port 80; they pass unchanged\n");
  expect(existsSync(file("dry"))).toBe(false);
});

/** Starts a record whose standard output is a named pipe. */
function recordInto(pipe: string): Running {
  const script = 'exec "$1" record -x 80 -w - >"$2"';
  return scene.lab.start(scene.lab.online, ["bash", "-c", script, "bash", XCOPY, pipe]);
}

test("a reader that pauses for a while costs nothing", async () => {
  const pipe = file("pipe");
  run(scene.lab.online, "mkfifo", pipe);
  const script = 'exec 3<"$1"; echo open; read -r _ <"$2"; exec cat <&3 >"$3"';
  const go = file("go");
  run(scene.lab.online, "mkfifo", go);
  const reader = scene.lab.start(scene.lab.online, ["bash", "-c", `(${script})`, "bash", pipe, go, file()]);
  // Both wait for each other: the pipe opens when xcopy does.
  const writer = recordInto(pipe);
  await reader.line(/^open$/);
  await writer.line(/^recording /);
  // Longer than the 2 s after which the programs take xcopy for stalled, more than the pipe holds.
  await load(scene.lab, { url: URL, rate: 2000, count: 6000 });
  run(scene.lab.online, "sh", "-c", `echo >${go}`);
  expect(await writer.stop()).toBe(0);
  expect(await reader.exited).toBe(0);
  expect(writer.errors.join("\n")).toContain("  lost       0 packets (0 %)");
  const { statistics, packets } = readPcapng(file());
  expect(packets.length).toBeGreaterThanOrEqual(6000);
  expect(statistics[0]).toMatchObject({ received: packets.length, dropped: 0 });
  expect(statistics[0]!.comments[0]).toContain("xcopy stalled 0,");
});

test("a reader that stops for good does not keep it from ending", async () => {
  const pipe = file("pipe");
  run(scene.lab.online, "mkfifo", pipe);
  const reader = scene.lab.start(scene.lab.online, [
    "bash",
    "-c",
    'exec 3<"$1"; echo open; exec sleep 1000',
    "bash",
    pipe,
  ]);
  const writer = recordInto(pipe);
  await reader.line(/^open$/);
  await writer.line(/^recording /);
  await load(scene.lab, { url: URL, rate: 2000, count: 2000 });
  process.kill(writer.pid, "SIGTERM");
  process.kill(writer.pid, "SIGINT");
  expect(await writer.exited).toBe(1);
  expect(writer.errors).toContain('Cannot write "standard output": it takes too long');
});
