/** xcopy with workers that a test can kill. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { type Copy, launchCopy } from "./xcopy.ts";

let runs = 0;

export interface MortalCopy extends Copy {
  /** Ends the worker with this index: it throws, its thread is just gone, or it stands still. */
  kill(worker: number, how: "throw" | "exit" | "hang"): void;
}

/** As `launchCopy`, from the source; `env`: what else is in its environment. */
export function launchMortalCopy(lab: Lab, args: string[], env: Record<string, string> = {}): MortalCopy {
  const file = join(lab.directory, `mortal-${runs++}`);
  const copy = launchCopy(lab, args, {
    command: [process.execPath, join(import.meta.dir, "mortal.ts")],
    env: { ...env, MORTAL: file },
  });
  return {
    ...copy,
    kill(worker, how) {
      writeFileSync(`${file}.new`, how);
      renameSync(`${file}.new`, `${file}.${worker}`);
    },
  };
}

/** As `startCopy`, from the source. */
export async function startMortalCopy(
  lab: Lab,
  args: string[],
  env: Record<string, string> = {},
): Promise<MortalCopy> {
  const copy = launchMortalCopy(lab, args, env);
  await copy.running.line(/^copying /);
  return copy;
}
