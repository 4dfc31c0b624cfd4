/** The tables of a file that several runs are of, and what became of a reload of them. */

/** A run. */
export interface Member {
  name: string;
  /** The words that start it: command, options. */
  words: readonly string[];
}

/** The tables that a file has now. */
export interface Tables {
  /** All of them. */
  names: readonly string[];
  /** Those that are new and can begin; those that are new and cannot, and why. */
  fresh: readonly Member[];
  held: readonly { name: string; cause: string }[];
}

/** What became of a reload, as an answer of src/web: exit code, and lines for people. */
export interface Outcome {
  exitCode: number;
  lines: string[];
}
