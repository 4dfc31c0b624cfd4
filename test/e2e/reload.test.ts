/** `xcopy reload` while requests are copied: what changes, and that nothing else is touched. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLab, type Lab } from "../support/lab.ts";
import { startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { startLoad } from "../support/wrk.ts";
import { faultsOf, runXcopy, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Writes the configuration of the copy; returns its path. */
function configure(lines: string): string {
  const path = join(lab.directory, "copy.toml");
  writeFileSync(path, `[copy]\n${lines}\n`, { mode: 0o600 });
  return path;
}

test("a limit that goes", async () => {
  await startServices(lab);
  const path = configure(`transfer = ["${TRANSFER}"]\nlimit = "100/s"`);
  const copy = await startCopy(lab, ["--config", path]);
  const load = startLoad(lab, { url: URL_ONLINE, rate: 400, connections: 20 });
  await copy.report("drops", ({ dropped }) => dropped.limit > 50);
  configure(`transfer = ["${TRANSFER}"]`);
  const { code, output, errors } = await runXcopy(lab, ["reload"]);
  expect(errors).toBe("");
  expect(output).toMatch(/^reloaded \d+: --limit 100\/s -> none; \d+ sessions go on$/);
  expect(code).toBe(0);
  await load.end();
  await copy.finish();
  expect(faultsOf(copy.reports())).toEqual([]);
});
