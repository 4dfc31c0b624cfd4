/** What copying costs in each capture back end, and with one and two workers. usage: bun bench/back-ends.ts [--quick] */
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { startScript } from "../test/support/scripts.ts";
import { load } from "../test/support/wrk.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, microseconds, renderTable, spread } from "./figures.ts";
import { QUIET, receiveElsewhere } from "./load.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 1 : 3;
const seconds = quick ? 2 : 4;
/** Seconds of load before the measurement, in which Bun compiles what is used often. */
const WARM = quick ? 1 : 5;
const URL = `http://${ONLINE}`;

interface Kind {
  name: string;
  /** Produces requests for about `seconds`; returns how many. */
  run(lab: Lab, seconds: number): Promise<number>;
}

const KINDS: Kind[] = [
  {
    name: "keep-alive, 5,000/s",
    run: async (lab, seconds) => (await load(lab, { url: URL, rate: 5000, count: 5000 * seconds })).requests,
  },
  {
    name: "short connections, 5,000/s",
    run: async (lab, seconds) =>
      (await load(lab, { url: URL, rate: 5000, count: 5000 * seconds, close: true })).requests,
  },
  {
    name: "posts of 100 KB",
    async run(lab, seconds) {
      const count = 300 * seconds;
      await startScript(lab, lab.client, "post.ts", URL, "100000", `${count}`, "10").exited;
      return count;
    },
  },
];

const WAYS: { name: string; args: string[] }[] = [
  ...["tcx", "clsact", "xdp", "xdp-generic", "packet", "raw", "pcap"].map((name) => ({
    name,
    args: ["--capture", name],
  })),
  { name: "tcx, 2 workers", args: ["--workers", "2"] },
];

/** Seconds of CPU per request, and requests that were not answered. */
async function measure(args: string[], kind: Kind): Promise<{ cpu: number; lost: number }> {
  // XDP sees single frames: a new lab each time, so that the interfaces have their original settings.
  const lab = createLab({ manyClients: false });
  try {
    await startNginx(lab, lab.online, 80);
    await startNginx(lab, lab.target, 8080);
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, ...args], { interval: QUIET });
    receiveElsewhere(lab, copy.running.pid, true);
    const warm = await kind.run(lab, WARM);
    const before = usageOf(copy.running.pid);
    const requests = await kind.run(lab, seconds);
    const after = usageOf(copy.running.pid);
    const { report } = await copy.stop();
    const cpu = after.user + after.system - before.user - before.system;
    return { cpu: cpu / requests, lost: warm + requests - report.turns.answered };
  } finally {
    await lab.stopAll();
    lab.remove();
  }
}

const figures: Figure[] = [];
for (const kind of KINDS) {
  const samples = WAYS.map(() => [] as { cpu: number; lost: number }[]);
  for (let run = 0; run < runs; run++) {
    for (const [index, { name, args }] of WAYS.entries()) {
      console.error(`measuring ${name}, ${kind.name}, run ${run + 1} of ${runs}`);
      samples[index]!.push(await measure(args, kind));
    }
  }
  for (const [index, { name }] of WAYS.entries()) {
    const cpu = samples[index]!.map((sample) => sample.cpu);
    const lost = samples[index]!.reduce((sum, sample) => sum + sample.lost, 0);
    figures.push({
      name: `${kind.name}: ${name}`,
      value: microseconds(median(cpu)),
      spread: spread(cpu, microseconds),
      without: `${lost}`,
    });
  }
}
console.log(
  `CPU of xcopy per request after ${WARM} s, the target's receive path on another CPU; medians of ${runs} runs\n\n${renderTable(figures, ["CPU per request", "lost"])}`,
);
