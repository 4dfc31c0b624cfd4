/** xcopy with workers that a test can kill. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { type Copy, startCopy } from "./xcopy.ts";

let runs = 0;

export interface MortalCopy extends Copy {
  /** Ends the worker with this index: it throws, or its thread is just gone. */
  kill(worker: number, how: "throw" | "exit"): void;
}

/** As `startCopy`, from the source. */
export async function startMortalCopy(lab: Lab, args: string[]): Promise<MortalCopy> {
  const file = join(lab.directory, `mortal-${runs++}`);
  const copy = await startCopy(lab, args, {
    command: [process.execPath, join(import.meta.dir, "mortal.ts")],
    env: { MORTAL: file },
  });
  return { ...copy, kill: (worker, how) => writeFileSync(`${file}.${worker}`, how) };
}
