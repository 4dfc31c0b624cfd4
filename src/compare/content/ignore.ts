/** `--ignore`: paths of JSON that are not compared, in a small subset of JSONPath (RFC 9535). */
import { Failure } from "../../native/failure.ts";

type Step = { name: string | null; isDeep: boolean };

export interface IgnoreRule {
  /** As the user wrote it. */
  text: string;
  /** A name or an index, or null for any; `isDeep`: at any depth below. */
  steps: readonly Step[];
}

/** More steps do not fit into the bits that `advance` keeps. */
const MOST_STEPS = 30;
const FIX =
  "Write $ and names: '$.meta.time', '$.items[*].id' (each element), '$.meta.*' (each value), '$..token' (at any depth), '$[\"a b\"]'.";
const STEP = /(\.\.|\.)(\*|[^\s.[\]*'"]+)|(\.\.)?\[(\*|\d+|"(?:[^"\\]|\\.)*"|'[^']*')\]/y;

/** A value of --ignore: `$.meta.*`, `$..token`, `$.items[*].id`. What is below such a path is left out too. Throws a Failure (exit code 2). */
export function parseIgnore(text: string): IgnoreRule {
  const refuse = (cause: string) => new Failure(`Cannot use --ignore "${text}": ${cause}`, FIX, 2);
  if (!text.startsWith("$")) throw refuse("a path begins with $");
  const steps: Step[] = [];
  STEP.lastIndex = 1;
  while (STEP.lastIndex < text.length) {
    const from = STEP.lastIndex;
    const match = STEP.exec(text);
    if (match === null) throw refuse(`"${text.slice(from)}" is no step of a path`);
    steps.push({ name: nameOf(match[2] ?? match[4]!), isDeep: match[1] === ".." || match[3] === ".." });
  }
  if (steps.length === 0) throw refuse("it would leave out everything");
  if (steps.length > MOST_STEPS) throw refuse(`it has more than ${MOST_STEPS} steps`);
  return { text, steps };

  function nameOf(step: string): string | null {
    if (step === "*") return null;
    if (step.startsWith("'")) return step.slice(1, -1);
    if (!step.startsWith('"')) return step;
    try {
      return JSON.parse(step);
    } catch {
      throw refuse(`${step} is no string of JSON`);
    }
  }
}

/** How far each rule has come: a bit for each of its steps that may be next. */
export type Progress = readonly number[];

export function startOf(rules: readonly IgnoreRule[]): Progress {
  return rules.map(() => 1);
}

/** One name or index further down; null: what is there is ignored. */
export function advance(rules: readonly IgnoreRule[], progress: Progress, name: string): Progress | null {
  const next: number[] = [];
  for (let index = 0; index < rules.length; index++) {
    const { steps } = rules[index]!;
    let bits = 0;
    for (let at = 0; at < steps.length; at++) {
      if (!(progress[index]! & (1 << at))) continue;
      const step = steps[at]!;
      if (step.isDeep) bits |= 1 << at;
      if (step.name !== null && step.name !== name) continue;
      if (at === steps.length - 1) return null;
      bits |= 1 << (at + 1);
    }
    next.push(bits);
  }
  return next;
}
