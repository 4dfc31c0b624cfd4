/** Which test files there are, what each needs of the machine, and what is run together. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface TestFile {
  /** Below the directory of tests, without ".test.ts": "e2e/mysql". */
  name: string;
  /**
   * "plain": no network namespaces, or few that nobody waits for. "hosts": a process or more in network namespaces. "alone": it
   * takes all of the machine, or compares rates, and says so by a comment that begins with "Runs alone".
   */
  kind: "plain" | "hosts" | "alone";
}

/** What runs at a time in one host of its own: the plain files of a directory, or one other file. */
export interface Task {
  name: string;
  files: string[];
  kind: TestFile["kind"];
}

const SUFFIX = ".test.ts";
/** How a test or what it imports from here makes a network namespace. */
const MAKES_NAMESPACES = /"unshare"|"netns"|\bCLONE_NEWNET\b|\/demo\/network\.ts"/;

const isEndToEnd = (name: string) => name.startsWith("e2e/");
/** Virtual machines, which take longest of all. */
export const isMachine = (name: string) => name.startsWith("kernels/");

/** All test files below `root`, by name. */
export function findTests(root: string): TestFile[] {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const makesNamespaces = new Map<string, boolean>();
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(SUFFIX))
    .map((path) => path.slice(0, -SUFFIX.length))
    .sort()
    .map((name) => ({ name, kind: kindOf(name + SUFFIX) }));

  function kindOf(path: string): TestFile["kind"] {
    if (/^\/\/ Runs alone/m.test(readFileSync(join(root, path), "utf8"))) return "alone";
    return isEndToEnd(path) || reaches(join(root, path)) ? "hosts" : "plain";
  }

  /** Whether this file, or one of the tests' own that it imports, makes namespaces. */
  function reaches(path: string): boolean {
    const known = makesNamespaces.get(path);
    if (known !== undefined) return known;
    makesNamespaces.set(path, false); // Where imports go in a circle.
    const text = readFileSync(path, "utf8");
    const imported = transpiler
      .scanImports(text)
      .map((module) => join(dirname(path), module.path))
      .filter((module) => module.startsWith(`${root}/`) && module.endsWith(".ts") && existsSync(module));
    const found = MAKES_NAMESPACES.test(text) || imported.some(reaches);
    makesNamespaces.set(path, found);
    return found;
  }
}

/** Those whose path begins with one of `words`, such as "engine" or "test/e2e/mysql.test.ts", and the words that fit none. */
export function choose(tests: TestFile[], words: string[]): { chosen: TestFile[]; unknown: string[] } {
  const begins = words.map((word) => word.replace(/^(\.\/)?(test\/)?/, ""));
  const matches = ({ name }: TestFile, begin: string) => `${name}${SUFFIX}`.startsWith(begin);
  return {
    chosen: words.length ? tests.filter((test) => begins.some((begin) => matches(test, begin))) : tests,
    unknown: words.filter((_, index) => !tests.some((test) => matches(test, begins[index]!))),
  };
}

/**
 * What is run together, in the order in which it is begun: what needs no hosts first, as the images of machines are made beside it;
 * then what needs the machine for itself, then what takes long, so that nothing long is left at the end while a CPU has nothing to do.
 */
export function tasksOf(tests: TestFile[]): Task[] {
  const own = (kind: TestFile["kind"], fits: (name: string) => boolean) =>
    tests
      .filter((test) => test.kind === kind && fits(test.name))
      .map(({ name }) => ({ name, files: [name], kind }));
  const plain = Map.groupBy(
    tests.filter(({ kind }) => kind === "plain"),
    ({ name }) => name.split("/")[0]!,
  );
  return [
    ...[...plain].map(([area, files]) => ({
      name: files.length > 1 ? `${area}, without namespaces` : files[0]!.name,
      files: files.map(({ name }) => name),
      kind: "plain" as const,
    })),
    ...own("alone", () => true),
    ...own("hosts", isMachine),
    ...own("hosts", isEndToEnd),
    ...own("hosts", (name) => !isEndToEnd(name) && !isMachine(name)),
  ];
}
