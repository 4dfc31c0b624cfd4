/** `xcopy doctor` as a process. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/until.ts";
import { ALONE } from "./run.ts";

test("passwords do not stay in its command line, and others of this host do not see them", async () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const words = ["doctor", "-x", "3306-127.0.0.1:3307", "-u", "app@swordfish"];
  const child = Bun.spawn([...ALONE, process.execPath, main, ...words], {
    stdout: "ignore",
    stderr: "ignore",
  });
  try {
    const commandLine = await until("the password to be hidden", () => {
      const text = readFileSync(`/proc/${child.pid}/cmdline`, "latin1");
      return text.includes("app") && text.includes("main.ts") && !text.includes("swordfish") ? text : null;
    });
    expect(commandLine).toContain("doctor");
  } finally {
    child.kill();
    await child.exited;
  }
});
