/** SYNs of clients that never come back arrive at production, beside real clients whose requests have to arrive at the target. */
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { contentsOf } from "../support/served.ts";
import { startLoad } from "../support/wrk.ts";
import { startCopy } from "../support/xcopy.ts";

/** Requests per second of the real clients, by connections that stay and by one for each. */
const RATE = 100;
/** The network that the SYNs come from. */
const FORGED = "10.64.0.0/10";

/** Returns whether every request of a real client was answered by production and arrived at the target once. */
export async function flood(seconds: number, rate: number): Promise<boolean> {
  const lab = createLab();
  try {
    return await floodIn(lab, seconds, rate);
  } finally {
    await lab.stopAll();
    lab.remove();
  }
}

async function floodIn(lab: Lab, seconds: number, rate: number): Promise<boolean> {
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  // What production answers to nobody ends at the client host.
  run(lab.online, "ip", "route", "add", FORGED, "via", "10.1.0.2");
  run(lab.client, "ip", "route", "add", "blackhole", FORGED);
  // The SYNs are no connections of the client host, whose translation would keep each in mind.
  const table = `table ip forged {\n chain out {\n type filter hook output priority raw\n ip saddr ${FORGED} notrack\n }\n}`;
  run(lab.client, "nft", table);
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`]);
  const loads = [false, true].map((close) =>
    startLoad(lab, { url: `http://${ONLINE}`, rate: RATE, connections: 50, close }),
  );
  const program = join(import.meta.dir, "syn-flood.ts");
  const flooding = lab.start(lab.client, [process.execPath, program, ONLINE, "80", `${rate}`, `${seconds}`]);
  await flooding.exited;
  const results = await Promise.all(loads.map((load) => load.end()));
  const { report } = await copy.finish();
  const errors = results.reduce((sum, result) => sum + result.errors, 0);
  const comparison = compareContents(await contentsOf(online), await contentsOf(target));
  const [missing, doubled] = [comparison.missing.length, comparison.doubled.length];
  const { captured, answered, dropped } = report.turns;
  console.log(
    [
      `SYNs      ${flooding.output.at(-1)} in ${seconds} s; copy captured ${report.capture.packets} packets, lost ${report.capture.lost}`,
      `clients   ${results.map(({ requests, p99 }) => `${requests} requests, p99 ${p99} us`).join("; ")}; ${errors} errors`,
      `copied    ${captured} requests captured, ${answered} answered, ${dropped} dropped; ${missing} missing at the target, ${doubled} twice`,
      `sessions  ${JSON.stringify(report.sessions)}`,
    ].join("\n"),
  );
  return errors + missing + doubled === 0 && flooding.output.length > 0;
}
