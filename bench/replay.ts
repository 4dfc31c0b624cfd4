/**
 * Measures the replay of recordings: its speed, compared with tcpreplay, which only sends; its accuracy in time; its memory.
 * usage: bun bench/replay.ts [--quick]
 */
import { join } from "node:path";
import { ONLINE } from "../src/demo/network.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { run } from "../test/support/process.ts";
import { recordLoad, recordTraffic, replay } from "../test/support/recording.ts";
import { startScript } from "../test/support/scripts.ts";
import { type Figure, median, megabytes, milliseconds, renderTable } from "./figures.ts";
import { repeatRecording } from "./repeat.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 1 : 3;
const URL = `http://${ONLINE}`;

interface Speed {
  requests: number;
  sessions: number;
  /** Packets per second. */
  packets: number;
}

async function measureReplay(lab: Lab, file: string): Promise<Speed> {
  const target = await startNginx(lab, lab.target, 8080);
  const { report } = await replay(lab, ["-i", file, "-a", "max"]);
  await target.stop();
  const { captured, answered } = report.turns;
  if (answered !== captured)
    throw new Error(`${captured - answered} of ${captured} requests were not answered`);
  const { seconds } = report;
  return {
    requests: answered / seconds,
    sessions: report.sessions.opened / seconds,
    packets: report.sent.packets / seconds,
  };
}

/** Packets per second of tcpreplay at top speed. */
function measureTcpreplay(lab: Lab, file: string): number {
  const said = run(lab.online, "tcpreplay", "-q", "--topspeed", "-i", "back", file);
  return Number(/Rated: .*?, ([0-9.]+) pps/s.exec(said)?.[1]);
}

async function measureSpeed(lab: Lab, name: string, close: boolean): Promise<Figure[]> {
  console.error(`measuring ${name} at --speed max`);
  const count = (close ? 10_000 : 50_000) / (quick ? 5 : 1);
  const { file } = await recordLoad(lab, `speed-${close}.pcap`, { url: URL, count, rate: 5000, close });
  const samples: (Speed & { tcpreplay: number })[] = [];
  for (let run = 0; run < runs; run++) {
    samples.push({ ...(await measureReplay(lab, file)), tcpreplay: measureTcpreplay(lab, file) });
  }
  const of = (key: keyof (typeof samples)[number]) => median(samples.map((sample) => sample[key]));
  const rate = (value: number) => `${Math.round(value).toLocaleString("en")}/s`;
  return [
    { name: `${name}: requests`, value: rate(of("requests")) },
    ...(close ? [{ name: `${name}: connections`, value: rate(of("sessions")) }] : []),
    {
      name: `${name}: packets sent`,
      value: rate(of("packets")),
      without: rate(of("tcpreplay")),
      ratio: of("packets") / of("tcpreplay"),
    },
  ];
}

/** Seconds since 1970 at which each request passed, by its path. */
function timesIn(lab: Lab, file: string): Map<string, number> {
  const fields = ["-e", "http.request.uri", "-e", "frame.time_epoch"];
  const text = run(lab.online, "tshark", "-r", file, "-Y", "http.request", "-T", "fields", ...fields);
  return new Map(
    text
      .trim()
      .split("\n")
      .map((line) => line.split("\t") as [string, string])
      .map(([path, time]) => [path, Number(time)]),
  );
}

/** us by which requests arrive at the target too early or too late at the recorded speed; the median counts as punctual. */
async function measureTimes(lab: Lab, close: boolean, args: string[]): Promise<number[]> {
  const count = quick ? 2000 : 10_000;
  const { file } = await recordLoad(lab, "times.pcap", { url: URL, count, rate: 2000, close });
  const target = await startNginx(lab, lab.target, 8080);
  const arrived = await recordTraffic(lab, "arrived.pcap", () => replay(lab, ["-i", file, ...args]), {
    device: "back",
    filter: "tcp dst port 8080",
  });
  await target.stop();
  const [before, after] = [timesIn(lab, file), timesIn(lab, arrived)];
  const delays = [...before].map(([path, time]) => (after.get(path)! - time) * 1e6);
  const punctual = median(delays);
  return delays.map((delay) => Math.abs(delay - punctual)).sort((one, other) => one - other);
}

async function measureTimeErrors(lab: Lab): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [name, close, args] of [
    ["a connection per request", true, []],
    ["keep-alive, --no-wait", false, ["--no-wait"]],
  ] as [string, boolean, string[]][]) {
    console.error(`measuring times, ${name}`);
    const errors = await measureTimes(lab, close, args);
    const percentile = (share: number) => milliseconds(errors[Math.floor(errors.length * share)]!);
    figures.push({
      name: `time error at the recorded speed, ${name}: p50, p99`,
      value: `${percentile(0.5)}, ${percentile(0.99)}`,
    });
  }
  return figures;
}

async function measureMemory(lab: Lab, bytes: number) {
  const online = await startNginx(lab, lab.online, 80);
  const began = performance.now();
  const small = await recordTraffic(lab, "posts.pcap", async () => {
    await startScript(lab, lab.client, "post.ts", URL, "60000", "200", "10").exited;
  });
  const period = Math.ceil((performance.now() - began) * 1000);
  await online.stop();
  const file = join(lab.directory, "large.pcap");
  const times = repeatRecording(small, file, { bytes, period, service: 80 });
  const target = await startNginx(lab, lab.target, 8080);
  const { report } = await replay(lab, ["-i", file, "-a", "max"]);
  await target.stop();
  return { report, times };
}

const lab = createLab({ manyClients: false });
try {
  const figures = [
    ...(await measureSpeed(lab, "keep-alive", false)),
    ...(await measureSpeed(lab, "short connections", true)),
  ];
  figures.push(...(await measureTimeErrors(lab)));
  const bytes = quick ? 200e6 : 2e9;
  console.error(`measuring memory with ${megabytes(bytes)}`);
  const { report } = await measureMemory(lab, bytes);
  figures.push(
    {
      name: `posts of 60 KB from a file of ${megabytes(bytes)}: memory`,
      value: `${report.rss_mb} MB`,
      aim: "150 MB",
    },
    { name: "  requests answered of all", value: `${report.turns.answered} of ${report.turns.captured}` },
    { name: "  speed", value: `${(bytes / report.seconds / 1e6).toFixed(0)} MB/s` },
  );
  console.log(`replaying recorded traffic\n\n${renderTable(figures, ["xcopy", "tcpreplay"])}`);
} finally {
  await lab.stopAll();
  lab.remove();
}
