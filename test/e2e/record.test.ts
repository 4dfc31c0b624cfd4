/** What `xcopy record` writes, compared with tcpdump and read by Wireshark. */
import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { ONLINE, ONLINE6 } from "../../src/demo/network.ts";
import { startTcpdump } from "../support/capture.ts";
import { readPcapng } from "../support/pcapng.ts";
import { capinfos, readAll, recordedFiles, startRecord, tshark, useRecordLab } from "../support/record.ts";
import { startScript, startService } from "../support/scripts.ts";
import { load } from "../support/wrk.ts";
import { hostState } from "../support/xcopy.ts";

const scene = useRecordLab();
const { file } = scene;
const URL = `http://${ONLINE}`;

/** What a packet with data is, wherever it was captured. */
const CONTENT = ["ip.src", "ipv6.src", "tcp.srcport", "tcp.seq", "tcp.ack", "tcp.len", "tcp.payload"];

/** Packets with data, and SYNs. */
function contentsOf(path: string): { requests: string[]; syns: string[] } {
  const rows = tshark(path, "tcp.len > 0 || tcp.flags.syn == 1", ["tcp.flags.syn", ...CONTENT]);
  const isSyn = (row: string) => /^(1|True)\t/.test(row);
  return { requests: rows.filter((row) => !isSyn(row)), syns: rows.filter(isSyn) };
}

/** tcpdump of what comes in from the clients. */
async function recordBeside(): Promise<{ path: string; stop(): Promise<void> }> {
  const path = file("tcpdump.pcap");
  const options = ["-i", "front", "-Q", "in", "-s", "0", "-B", "65536", "-U", "-Z", "root", "-w", path];
  const tcpdump = await startTcpdump(scene.lab, scene.lab.online, [...options, "tcp dst port 80"]);
  return {
    path,
    async stop() {
      expect((await tcpdump.stop()).dropped).toBe(0);
    },
  };
}

for (const { name, url } of [
  { name: "IPv4", url: URL },
  { name: "IPv6", url: `http://[${ONLINE6}]` },
]) {
  test(`has every request that tcpdump has, byte for byte (${name})`, async () => {
    const tcpdump = await recordBeside();
    const record = await startRecord(scene.lab, ["-x", "80", "-w", file()]);
    expect(await load(scene.lab, { url, rate: 5000, count: 10_000 })).toMatchObject({ errors: 0 });
    const { code, account } = await record.stop();
    expect(code).toBe(0);
    await tcpdump.stop();
    const [recorded, witnessed] = [file(), tcpdump.path].map(contentsOf);
    expect(recorded!.requests.length).toBeGreaterThanOrEqual(10_000);
    expect(recorded!.syns.length).toBeGreaterThan(0);
    expect(recorded).toEqual(witnessed!);
    expect(account).toMatchObject({
      ended: "signal",
      capture: { lost: 0, inert: 0, oversize: 0, unreadable: 0 },
      written: { files: 1, pending: 0, left: 0, bytes: statSync(file()).size },
    });
    expect(account.written.packets).toBe(account.capture.packets);
  });
}

test("describes itself in the file, and Wireshark's programs read it", async () => {
  const record = await startRecord(scene.lab, ["-x", `${ONLINE}:80-10.9.9.9`, "-r", "50", "-w", file()]);
  await load(scene.lab, { url: URL, rate: 2000, count: 2000, close: true });
  const { account } = await record.stop();
  const { packets } = account.written;

  expect(statSync(file()).mode & 0o777).toBe(0o600);
  const facts = capinfos(file());
  expect(facts.get("Number of packets")).toEqual([`${packets}`, `${packets}`]);
  expect(facts.get("Capture application")?.[0]).toMatch(/^xcopy \d/);
  expect(facts.get("Strict time order")).toEqual(["True"]);
  expect(facts.get("Name")).toEqual(["front"]);
  expect(facts.get("Filter string")).toEqual([`(dst host ${ONLINE} and tcp dst port 80)`]);
  expect(facts.get("Time precision")).toEqual(["microseconds (6)"]);
  const comments = facts.get("Capture comment")!;
  expect(comments[0]).toBe(`xcopy record: requests to ${ONLINE}:80, from the IP header on`);
  expect(comments[1]).toBe("50 % of the connections, all of each");
  expect(comments[2]).toStartWith("pure ACKs are left out");
  expect(Bun.spawnSync(["editcap", "-r", file(), file("copy.pcapng"), "1-100"]).exitCode).toBe(0);
  expect(capinfos(file("copy.pcapng")).get("Number of packets")?.[0]).toBe("100");

  expect(account.capture.unsampled).toBeGreaterThan(0);
  const [statistics] = readPcapng(file()).statistics;
  expect(statistics).toMatchObject({ received: packets, dropped: 0, delivered: packets });
  expect(statistics!.comments[0]).toContain(`left out by the sample ${account.capture.unsampled}`);
  // Of a connection there is all or nothing, from its SYN to its FIN.
  const rows = tshark(file(), "tcp", ["tcp.stream", "tcp.flags.syn", "tcp.flags.fin", "tcp.flags.reset"]).map(
    (row) => row.split("\t").map((field) => field.replace("True", "1")),
  );
  const streams = (fits: (row: string[]) => boolean) => [
    ...new Set(rows.filter(fits).map(([stream]) => stream)),
  ];
  const all = streams(() => true);
  expect(streams(([, syn]) => syn === "1")).toEqual(all);
  expect(streams(([, , fin, reset]) => fin === "1" || reset === "1").length).toBe(all.length);
});

test("has both directions, and pure ACKs, on request", async () => {
  const record = await startRecord(scene.lab, ["-x", "80", "--both", "--acks", "-w", file()]);
  await load(scene.lab, { url: URL, rate: 2000, count: 4000 });
  const { account } = await record.stop();

  expect(account.responses.packets).toBeGreaterThanOrEqual(4000);
  expect(account.written.responses).toBe(account.responses.packets);
  expect(account.written.packets).toBe(account.capture.packets + account.responses.packets);
  const requests = tshark(file(), "http.request", ["frame.packet_flags_direction"]);
  const responses = tshark(file(), "http.response", ["frame.packet_flags_direction"]);
  expect(requests.length).toBe(responses.length);
  expect([...new Set(requests)]).toEqual(["0x00000001"]);
  expect([...new Set(responses)]).toEqual(["0x00000002"]);
  expect(account.capture.pure_acks).toBe(0);
  const acks = "tcp.len == 0 && tcp.flags == 0x10 && tcp.dstport == 80";
  expect(tshark(file(), acks, ["tcp.ack"]).length).toBeGreaterThan(100);
  // With all ACKs there Wireshark misses nothing.
  expect(
    tshark(file(), "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment", ["frame.number"]),
  ).toEqual([]);
});

test("records packets of up to 64 KB that offloads have joined", async () => {
  await startService(scene.lab, scene.lab.online, "sink.ts", "81");
  const record = await startRecord(scene.lab, ["-x", "81", "-w", file()]);
  // 20 MB a second, of which the rings hold most of a second.
  const pour = ["pour.ts", ONLINE, "81", "20000000", "10000000", "2"] as const;
  const client = startScript(scene.lab, scene.lab.client, ...pour);
  expect(await client.exited).toBe(0);
  const { account } = await record.stop();

  expect(account.capture).toMatchObject({ lost: 0, oversize: 0 });
  const sizes = tshark(file(), "tcp", ["frame.len", "frame.cap_len", "tcp.len"]).map((row) =>
    row.split("\t").map(Number),
  );
  expect(sizes.every(([length, captured]) => length === captured)).toBe(true);
  expect(Math.max(...sizes.map(([length]) => length!))).toBeGreaterThan(10_000);
  const fresh = tshark(file(), "tcp.len > 0 && !tcp.analysis.retransmission", ["tcp.len"]);
  expect(fresh.reduce((sum, length) => sum + Number(length), 0)).toBe(40_000_000);
});

test("cuts packets to --snaplen", async () => {
  const record = await startRecord(scene.lab, ["-x", "80", "--snaplen", "80", "-w", file()]);
  await load(scene.lab, { url: URL, rate: 1000, count: 500 });
  await record.stop();
  const { packets, interfaces } = readPcapng(file());
  expect(interfaces[0]!.snaplen).toBe(80);
  expect(packets.every(({ bytes, length }) => bytes.length === Math.min(80, length))).toBe(true);
  expect(packets.some(({ length }) => length > 80)).toBe(true);
  expect(tshark(file(), "tcp", ["frame.number"]).length).toBe(packets.length);
});

describe("rotation", () => {
  const numbers = (paths: string[]) => paths.map((path) => Number(/-(\d{4})\.pcapng/.exec(path)![1]));

  for (const { name, args, most } of [
    { name: "by size", args: ["--rotate-size", "200k"], most: 200_000 },
    { name: "by time", args: ["--rotate-time", "1s"], most: Number.POSITIVE_INFINITY },
    {
      name: "by both, compressed",
      args: ["--rotate-size", "200k", "--rotate-time", "2s", "--compress", "zstd"],
      most: Number.POSITIVE_INFINITY,
    },
  ]) {
    test(`${name} loses nothing between two files`, async () => {
      const record = await startRecord(scene.lab, ["-x", "80", "-w", file(), ...args]);
      await load(scene.lab, { url: URL, rate: 5000, count: 15_000 });
      const { code, account } = await record.stop();
      expect(code).toBe(0);
      const paths = recordedFiles(scene.directory, "cap");
      expect(paths.length).toBeGreaterThan(2);
      expect(numbers(paths)).toEqual(paths.map((_, index) => index + 1));
      expect(account.written).toMatchObject({ files: paths.length, first: paths[0], last: paths.at(-1)! });
      for (const path of paths) {
        expect(statSync(path).size).toBeLessThanOrEqual(most);
        if (path.endsWith(".zst")) expect(Bun.spawnSync(["zstd", "-qt", path]).exitCode).toBe(0);
        expect(capinfos(path).get("Number of packets")?.[0]).toBe(`${readPcapng(path).packets.length}`);
      }
      const files = readAll(paths);
      const sum = (count: (file: (typeof files)[number]) => number) =>
        files.reduce((total, one) => total + count(one), 0);
      expect(sum(({ packets }) => packets.length)).toBe(account.capture.packets);
      expect(sum(({ statistics }) => statistics[0]!.received)).toBe(account.capture.packets);
      expect(account.capture.lost).toBe(0);
      expect(files.filter(({ rest }) => rest > 0)).toEqual([]);
    });
  }

  test("keeps the last files only", async () => {
    const args = ["--rotate-size", "100k", "--keep", "3"];
    const record = await startRecord(scene.lab, ["-x", "80", "-w", file(), ...args]);
    await load(scene.lab, { url: URL, rate: 5000, count: 5000 });
    const { account } = await record.stop();
    const { files } = account.written;
    expect(files).toBeGreaterThan(4);
    expect(numbers(recordedFiles(scene.directory, "cap"))).toEqual([files - 2, files - 1, files]);
  });
});

test("by clsact it records the same, and leaves no filter behind", async () => {
  const before = hostState(scene.lab.online);
  const record = await startRecord(scene.lab, ["-x", "80", "--both", "--capture", "clsact", "-w", file()]);
  await load(scene.lab, { url: URL, rate: 1000, count: 1000 });
  const { code, account } = await record.stop();
  expect(code).toBe(0);
  expect(account.capture.source).toBe("clsact");
  expect(tshark(file(), "http.request", ["frame.number"]).length).toBeGreaterThanOrEqual(1000);
  expect(tshark(file(), "http.response", ["frame.number"]).length).toBeGreaterThanOrEqual(1000);
  expect(hostState(scene.lab.online)).toBe(before);
});
