/** The program as a user runs it. */
import { join } from "node:path";
import { patient } from "../support/patience.ts";

const BUN = process.execPath;
const MAIN = join(import.meta.dir, "../../src/main.ts");

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Surroundings {
  /** A command that runs the program: `unshare -n`. */
  within?: string[];
  /** Argv 0. */
  calledAs?: string;
}

/** Runs `xcopy` with these words to its end. */
export function xcopy(words: string[], { within = [], calledAs }: Surroundings = {}): Outcome {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...within, BUN, MAIN, ...words], {
    ...(calledAs ? { argv0: calledAs } : {}),
    env: { ...process.env, NO_COLOR: "1" },
    timeout: patient(20_000),
  });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** What a mistake looks like: nothing on stdout, two lines on stderr. */
export function mistake(code: number, message: string, fix: string): Outcome {
  return { code, stdout: "", stderr: `${message}\n${fix}\n` };
}

/** A network namespace of its own, with nothing but a loopback interface that is up. */
export const ALONE = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"];

/** Root without any capability. */
export const POWERLESS = [
  "setpriv",
  "--bounding-set",
  "-all",
  "--inh-caps",
  "-all",
  "--ambient-caps",
  "-all",
];
