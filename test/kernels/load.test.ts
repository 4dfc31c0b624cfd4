/** Every program loads on the kernels of Debian's releases, in virtual machines. bin/test has made their images. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { KERNELS } from "./kernels.ts";
import { runInMachine } from "./machine.ts";

const IMAGES = join(import.meta.dir, "../../dist/kernels");

// Emulated, all would take too long here: the oldest and the newest are tried, bin/test-kernels has those between and other architectures.
for (const kernel of KERNELS.filter(({ name }) => name === "5.10" || name === "newest")) {
  const hasImage = existsSync(join(IMAGES, kernel.name, "vmlinuz"));
  // Without a network there is none. Where it must be there, it is an error.
  describe.skipIf(!hasImage && !process.env.CI)(`Linux ${kernel.name}`, () => {
    // The oldest verifier refuses most.
    const together = kernel.name === "5.10" ? 2 : 1;
    test(`loads every program with every ${together === 2 ? "pair of settings" : "setting"}`, async () => {
      const outcome = await runInMachine({ kernel, files: ["bpf/variants"], together });
      const failed = outcome.tests.filter(({ failure }) => failure !== null);
      expect(failed).toEqual([]);
      // Which say what went on where nothing ran.
      expect(outcome.tests.length > 15 || outcome.console.slice(-30)).toBe(true);
    });
  });
}
