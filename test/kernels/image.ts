/** Makes the images of the kernels, where they are not there. */
import { join } from "node:path";
import type { Kernel } from "./kernels.ts";

/** Resolves when dist/kernels has the image of a kernel. Rejects with what went wrong. */
export async function makeImage({ name, release, architecture }: Kernel): Promise<void> {
  const child = Bun.spawn([join(import.meta.dir, "image.sh"), name, release, architecture], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "pipe",
  });
  const [status, errors] = await Promise.all([child.exited, child.stderr.text()]);
  if (status !== 0) throw new Error(`Cannot make the image of Linux ${name}: ${errors.trim()}`);
}
