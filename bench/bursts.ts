/**
 * Measures what is lost of bursts: POSTs of 1 MB over 10 connections, as fast as production takes them, with the default options.
 * usage: bun bench/bursts.ts [--quick]
 */
import { join } from "node:path";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { createLab, type Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, megabytes, renderTable, spread } from "./figures.ts";

const quick = process.argv.includes("--quick");
const runs = quick ? 2 : 10;
const count = quick ? 200 : 1000;
const BYTES = 1_000_000;
const CONNECTIONS = 10;
/** nginx as it is by default: bodies go to files, which end with their requests. */
const SERVER = { server: "client_body_in_file_only clean;" };

interface Burst {
  /** Bytes a second that production took. */
  rate: number;
  /** Requests that the target did not answer, and packets that found no room. */
  lost: number;
  packets: number;
  /** Most bytes of requests that waited to be sent. */
  waiting: number;
}

async function measureBurst(lab: Lab): Promise<Burst> {
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "--drain", "10"]);
  const script = join(import.meta.dir, "../test/support/upload.ts");
  const args = [ONLINE, "80", `${BYTES}`, `${count}`, `${CONNECTIONS}`];
  const client = lab.start(lab.client, [process.execPath, script, ...args]);
  if ((await client.exited) !== 0) throw new Error(client.errors.join("\n"));
  const { report } = await copy.stop();
  return {
    rate: (count * BYTES) / Number(client.output.at(-1)),
    lost: count - report.turns.answered,
    packets: report.capture.lost,
    waiting: Math.max(...copy.reports().map((each) => each.memory_bytes)),
  };
}

function figuresOf(bursts: Burst[]): Figure[] {
  const rates = bursts.map(({ rate }) => rate);
  const waiting = bursts.map((burst) => burst.waiting);
  return [
    {
      name: "taken by production",
      value: `${megabytes(median(rates))}/s`,
      spread: spread(rates, (rate) => `${megabytes(rate)}/s`),
    },
    {
      name: "requests lost",
      value: `${bursts.reduce((sum, { lost }) => sum + lost, 0)}`,
      spread: bursts.map(({ lost }) => lost).join(" "),
      aim: "0",
    },
    {
      name: "  packets without room in the rings",
      value: `${bursts.reduce((sum, { packets }) => sum + packets, 0)}`,
    },
    {
      name: "  most that waited to be sent",
      value: megabytes(median(waiting)),
      spread: spread(waiting, megabytes),
    },
  ];
}

const lab = createLab({ manyClients: false });
try {
  await startNginx(lab, lab.online, 80, SERVER);
  await startNginx(lab, lab.target, 8080, SERVER);
  const bursts: Burst[] = [];
  for (let run = 0; run < runs; run++) {
    console.error(`measuring a burst, run ${run + 1} of ${runs}`);
    bursts.push(await measureBurst(lab));
  }
  console.log(`bursts: ${count} POSTs of 1 MB over ${CONNECTIONS} connections at full speed, ${runs} runs\n`);
  console.log(renderTable(figuresOf(bursts), ["all", ""]));
} finally {
  await lab.stopAll();
  lab.remove();
}
