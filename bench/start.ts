/** Measures the time from the start of xcopy to the first copied request. */
import { ONLINE, TARGET } from "../src/demo/network.ts";
import type { Lab } from "../test/support/lab.ts";
import { readRequests, startNginx } from "../test/support/nginx.ts";
import { until } from "../test/support/until.ts";
import { startLoad } from "../test/support/wrk.ts";
import { launchCopy, XCOPY } from "../test/support/xcopy.ts";
import { type Figure, median } from "./figures.ts";

/**
 * From the start of the process to the first request that the target logs, under a load of 1,000 connections/s: it
 * includes the target's answer, so it is a little more than the time to the first captured packet.
 */
export async function measureStart(lab: Lab, runs: number): Promise<Figure[]> {
  const online = await startNginx(lab, lab.online, 80);
  const seconds: number[] = [];
  for (let run = 0; run < runs; run++) {
    const target = await startNginx(lab, lab.target, 8080);
    const earlier = (await readRequests(online)).length;
    const load = startLoad(lab, { url: `http://${ONLINE}`, rate: 1000, count: 2000, close: true });
    await until("the load runs", async () => (await readRequests(online)).length > earlier);
    const begun = Date.now() / 1000;
    const copy = launchCopy(lab, ["-x", `80-${TARGET}:8080`]);
    await load.result;
    await copy.stop();
    await target.stop();
    const first = (await readRequests(target))[0];
    if (!first) throw new Error("Cannot measure the start: the target saw no request");
    seconds.push(first.time - begun);
  }
  await lab.stopAll();
  return [
    {
      name: "start of the process to the first request at the target",
      value: `${median(seconds).toFixed(2)} s`,
      aim: "0.30 s",
    },
    { name: "size of the executable", value: `${(Bun.file(XCOPY).size / 1e6).toFixed(1)} MB` },
  ];
}
