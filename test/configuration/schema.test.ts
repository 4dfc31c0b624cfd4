/** The schema for editors: it is one, and says the same as the program. */
import { describe, expect, test } from "bun:test";
import Ajv from "ajv";
import { type CommandSpec, settable } from "../../src/command-line/command.ts";
import { COPY } from "../../src/command-line/copy.ts";
import { readConfiguration, takesNumber } from "../../src/command-line/reading/file.ts";
import { explanationOf } from "../../src/command-line/reading/help.ts";
import { CONFIGURED } from "../../src/command-line/reading/load.ts";
import { refusalsOf } from "../../src/configuration/refusals.ts";
import { configurationSchema, rangeOf } from "../../src/configuration/schema.ts";
import { parseCopy } from "../../src/copy/options.ts";
import { parseIntercept } from "../../src/intercept/options.ts";
import { parseRecord } from "../../src/record/options.ts";
import { failing } from "../config/failing.ts";
import { fc } from "../config/seed.ts";

const SCHEMA = configurationSchema();
const fits = new Ajv({ strictTypes: false, allErrors: true }).compile(SCHEMA);
const asJson = (text: string) => Bun.TOML.parse(text);
const problemsOf = (text: string) =>
  readConfiguration({ written: "f", path: "/d/f" }, text, CONFIGURED).problems.map(({ message }) => message);

test.each([
  '[copy]\ntransfer = "80-a"\nmemory = 64\njson = true\ncompare = "body"\npace = "fast"\nworkers = "auto"',
  '[copy]\njson = true\n[copy.shop]\ntransfer = ["80-a", "81-a"]\n[copy.search]\ncompare = true',
  '[intercept]\nservice = ":80"\nport = 5\n[record]\nwrite = "a"\nsample = 0.5',
])("%j is good", (text) => {
  expect(fits(asJson(text))).toBe(true);
  expect(problemsOf(text)).toEqual([]);
});

test.each([
  "[copy]\ntrasnfer = '80-a'",
  "[copy.shop]\ntrasnfer = '80-a'",
  "[copy]\njson = 1",
  "[copy]\nmemory = true",
  "[copy]\nmemory = [64]",
  "[copy]\nlog = 5",
  "[copy]\ntransfer = ['80-a', 5]",
  "[copy]\ncompare = 'bodies'",
  "[copy]\nconfig = 'g'",
  "[copy.config]\nmemory = 64",
  "[copy.'a b']\nmemory = 64",
  "[copie]\nmemory = 64",
  "copy = 5",
  "[[copy]]\nmemory = 64",
  "memory = 64",
])("%j is bad", (text) => {
  expect(fits(asJson(text))).toBe(false);
  expect(problemsOf(text)).toHaveLength(1);
});

test("numbers out of range and unknown words are bad", () => {
  for (const line of ["memory = 1", "mtu = 1400.5", "sample = 101", "pace = 'slow'", "direction = 'up'"])
    expect(fits(asJson(`[copy]\n${line}`))).toBe(false);
});

test("every option is described as its help does", () => {
  const { properties } = SCHEMA as {
    properties: Record<string, { properties: Record<string, { description: string }> }>;
  };
  for (const spec of CONFIGURED) {
    const described = Object.entries(properties[spec.table!]!.properties).map(([name, { description }]) => [
      name,
      description,
    ]);
    const here = settable(spec).filter(({ name }) => !["config", "only", "dry-run"].includes(name));
    expect(described).toEqual(here.map((option) => [option.name, explanationOf(option)]));
  }
});

/** Values of all kinds for an option, those of the right kind within what it takes. */
function anyValue(spec: CommandSpec, name: string) {
  const option = settable(spec).find((one) => one.name === name);
  const words = /^[a-z0-9|]+\|/.test(option?.value ?? "") ? option!.value!.split("|") : ["a", "80-b"];
  const [least, most] = (option && rangeOf(option)) ?? [1, 9];
  const text = fc.constantFrom(...words).map((word) => `"${word}"`);
  const number = fc.integer({ min: Math.ceil(least), max: Math.floor(most) }).map(String);
  const list = fc.array(fc.oneof(text, number), { maxLength: 2 }).map((values) => `[${values.join(", ")}]`);
  return fc.oneof(
    { weight: 4, arbitrary: option?.value === undefined ? fc.constantFrom("true", "false") : text },
    fc.constantFrom("true", "false", '""', "{ memory = 64 }", '{ user = "a" }'),
    number,
    list,
  );
}

const names = (spec: CommandSpec) => [...settable(spec).map(({ name }) => name), "nothing", "x y"];
const table = (spec: CommandSpec) =>
  fc
    .uniqueArray(fc.constantFrom(...names(spec)), { maxLength: 4 })
    .chain((keys) =>
      fc.tuple(...keys.map((key) => anyValue(spec, key).map((value) => `"${key}" = ${value}`))),
    )
    .map((lines) => lines.join("\n"));

test("schema and program take and refuse the same files", () => {
  const anyFile = fc
    .constantFrom(...CONFIGURED)
    .chain((spec) =>
      fc
        .tuple(table(spec), fc.option(table(spec)))
        .map(
          ([own, below]) =>
            `[${spec.table}]\n${own}\n${below === null ? "" : `[${spec.table}.shop]\n${below}\n`}`,
        ),
    );
  let taken = 0;
  fc.assert(
    fc.property(anyFile, (text) => {
      const isTaken = problemsOf(text).length === 0;
      if (isTaken) taken++;
      expect(fits(asJson(text))).toBe(isTaken);
    }),
  );
  expect(taken).toBeGreaterThan(20);
});

/** Options of copy that go together, with values that are good. */
const GOOD: Record<string, string> = {
  input: '["eth0", "eth1"]',
  filter: '"tcp"',
  direction: '"out"',
  ports: '"2000-3000"',
  shift: "1",
  protocol: '["80=http"]',
  clients: '["10.1.1.1", "10.1.2.x"]',
  sample: "12.5",
  gradual: "60",
  limit: '"500/s"',
  replicas: "2",
  "full-sessions": "true",
  pace: '"think"',
  late: '"drop:0.5"',
  rtt: "5",
  speed: '"max"',
  memory: "64",
  "max-sessions": "1_000",
  mtu: "1400",
  drain: "0",
  workers: '"auto"',
  nice: "19",
  "cpu-limit": "50",
  compare: "true",
  "compare-field": '"x-a,x-b"',
  report: '["a.html", "b.json"]',
  web: "8090",
  json: "false",
  "stats-interval": "0.5",
  log: '"a.log"',
  capture: '"tcx"',
  mark: "0xc1",
};

test("any file of good options is good for the schema and for the program", () => {
  const some = fc.subarray(Object.keys(GOOD).filter((name) => name !== "compare-field"));
  fc.assert(
    fc.property(some, fc.boolean(), (options, named) => {
      const names = options.includes("compare") ? [...options, "compare-field"] : options;
      const lines = ["transfer = '80-10.0.0.2'", ...names.map((name) => `${name} = ${GOOD[name]}`)];
      const text = `${named ? "[copy.shop]" : "[copy]"}\n${lines.join("\n")}`;
      const { tables, problems } = readConfiguration({ written: "f", path: "/d/f" }, text, CONFIGURED);
      expect(problems).toEqual([]);
      expect(refusalsOf("copy", tables.get("copy")![0]!.settings)).toEqual({ faults: [], missing: null });
      expect(fits(asJson(text))).toBe(true);
    }),
  );
});

describe("the ranges in the schema are those of the program", () => {
  /** What each reader needs besides the option, and what some options need. */
  const READERS = {
    copy: { read: parseCopy, base: { transfer: "80-10.0.0.2" } },
    intercept: { read: parseIntercept, base: { service: ":80" } },
    record: { read: parseRecord, base: { service: "80", write: "a" } },
  };
  const COMPANIONS: Record<string, Record<string, string>> = {
    port: { intercepts: "10.0.0.3" },
    connections: { intercepts: "10.0.0.3" },
    jitter: { replicas: "2" },
    "compare-prefix": { compare: "heads" },
    combine: { compat: "", "compat-from": "10.0.0.1" },
    keep: { "rotate-size": "10M" },
    queue: { mode: "nfqueue" },
    "queue-length": { mode: "nfqueue" },
  };
  const cases = CONFIGURED.flatMap((spec) =>
    settable(spec)
      .filter(takesNumber)
      .flatMap((option) => {
        const range = rangeOf(option);
        return range ? [[spec.name as keyof typeof READERS, option.name, ...range] as const] : [];
      }),
  );

  test("most options that take a number have one", () => {
    expect(cases.length).toBeGreaterThan(35);
  });

  test.each(cases)("%s --%s takes %d to %d", (command, name, least, most) => {
    const { read, base } = READERS[command];
    const companions =
      name in COMPANIONS && (command !== "intercept" || name !== "port") ? COMPANIONS[name] : {};
    const readWith = (text: string) => {
      const values = Object.entries({ ...base, ...companions, [name]: text });
      return read(new Map(values.map(([key, value]) => [key, [value]])));
    };
    readWith(`${least}`);
    readWith(`${most}`);
    expect(failing(() => readWith(`${most + 1}`)).message).toContain(`"${most + 1}"`);
    if (least > 0) expect(failing(() => readWith(`${least / 2}`)).message).toContain(`"${least / 2}"`);
  });
});

test("options without a range in the schema are few, and known", () => {
  const without = settable(COPY).filter((option) => takesNumber(option) && rangeOf(option) === null);
  expect(without.map(({ name }) => name).sort()).toEqual(["mark", "web"]);
});
