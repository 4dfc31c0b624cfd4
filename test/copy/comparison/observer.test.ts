/** What a run tells: pairs of all workers reach the account, reports and the exit code; nothing is kept waiting. */
import { afterEach, expect, test } from "bun:test";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COPY } from "../../../src/command-line/copy.ts";
import { parseArguments } from "../../../src/command-line/reading/arguments.ts";
import { resolveTransfers } from "../../../src/config/transfer.ts";
import type { Account } from "../../../src/copy/account/account.ts";
import { Collector } from "../../../src/copy/comparison/collect.ts";
import { checkFiles, writeFiles } from "../../../src/copy/comparison/files.ts";
import { Observer } from "../../../src/copy/comparison/observer.ts";
import { comparedTargets } from "../../../src/copy/comparison/targets.ts";
import { createShared, viewShared } from "../../../src/copy/data-plane/shared.ts";
import { parseCopy } from "../../../src/copy/options.ts";
import type { Pair } from "../../../src/pairs/pair.ts";
import { createPairMemory, PairReader, PairWriter } from "../../../src/pairs/ring.ts";
import { readReport } from "../../../src/report/read.ts";
import { failing } from "../../config/failing.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});
function directory(): string {
  directories.push(mkdtempSync(join(tmpdir(), "xcopy-observer-")));
  return directories[0]!;
}

const parse = (words: string) => parseCopy(parseArguments(COPY, words.split(" ")));
const servicesOf = (words: string) =>
  resolveTransfers(
    parse(words).transfers,
    async () => [],
    async ({ addresses }) => addresses[0]!,
  );

const answer = (status: number) => ({
  status,
  end: "complete" as const,
  bytes: 10,
  count: 0,
  firstByte: 1000,
  lastByte: 2000,
  head: new TextEncoder().encode(`HTTP/1.1 ${status} X\r\n\r\n`),
  isHeadWhole: true,
  fields: 0,
  digest: null,
  body: null,
});
const pair = (more: Partial<Pair> = {}): Pair => ({
  protocol: "http",
  outcome: "compared",
  service: 0,
  copy: 0,
  path: 0,
  at: 1,
  method: "GET",
  name: "/a",
  request: new TextEncoder().encode("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"),
  requestBody: null,
  production: answer(200),
  target: answer(200),
  ...more,
});

/** An observer of two workers, with the writers of their rings. */
async function observe(words: string) {
  const options = parse(words);
  const observer = new Observer(
    await servicesOf(words),
    "direct",
    options.comparison,
    options.audience,
    options.replicas,
  );
  const pairs = [createPairMemory(65536), createPairMemory(65536)];
  const views = pairs.map(() => ({ shared: viewShared(createShared()), isDead: false }));
  const account = { mode: "direct", seconds: 1 } as Account;
  observer.begin({ views, datagrams: [], pairs, take: () => account });
  return { observer, writers: pairs.map((memory) => new PairWriter(memory)) };
}

test("pairs of all workers are in the account, and in the reports that are written at the end", async () => {
  const at = directory();
  const { observer, writers } = await observe(
    `-x 80-10.0.0.2 --compare --report ${at}/r.json --report ${at}/r.html`,
  );
  for (const writer of writers) writer.take(pair());
  writers[1]!.take(pair({ outcome: "production only", target: null }));
  const { account, exitCode, errors } = await observer.end();
  const { endpoints } = observer.metrics();
  expect(endpoints).toMatchObject([
    { service: "80", protocol: "http", method: "GET", name: "/a", target: { count: 2, sum: 4000 } },
  ]);
  expect(endpoints[0]!.production.atMost.slice(0, 6)).toEqual([0, 0, 0, 0, 2, 2]);
  await observer.close();
  expect(account.comparison).toMatchObject({
    requests: 3,
    outcomes: { compared: 2, "production only": 1 },
    verdict: expect.any(String),
    broken: [],
  });
  expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: [] });
  const report = readReport(readFileSync(`${at}/r.json`, "utf8"), "r.json");
  expect(report).toMatchObject({
    isRunning: false,
    count: 3,
    services: ["80"],
    targets: [{ label: "10.0.0.2:80", isNoise: false }],
    account: { mode: "direct", comparison: { requests: 3 } },
  });
  expect(readFileSync(`${at}/r.html`, "utf8")).toStartWith("<!doctype html>");
  expect(readdirSync(at).sort()).toEqual(["r.html", "r.json"]);
});

test("pairs come in while the run goes on, and what no ring had room for counts", async () => {
  const { observer, writers } = await observe("-x 80-10.0.0.2 --compare");
  writers[0]!.take(pair());
  while ((observer.account() as Account).comparison!.requests === 0) await Bun.sleep(5);
  for (let index = 0; index < 1000; index++) writers[0]!.take(pair());
  const { account } = await observer.end();
  const { requests, outcomes } = account.comparison!;
  expect(requests).toBe(1001);
  expect(outcomes.behind).toBeGreaterThan(0);
  expect(outcomes.compared! + outcomes.behind!).toBe(1001);
});

test("with -n the later copies go to the target with the old version, which is not judged", async () => {
  const { observer, writers } = await observe("-x 80-10.0.0.2,80-10.0.0.3 --compare --noise 10.0.0.3 -n 2");
  for (const copy of [0, 1, 2, 3]) writers[0]!.take(pair({ copy, target: answer(copy >= 2 ? 500 : 200) }));
  const { account } = await observer.end();
  expect(account.comparison).toMatchObject({ requests: 2, errors: 0, outcomes: { compared: 2 } });
});

test("without --compare the account has nothing of it, and a report is written all the same", async () => {
  const at = directory();
  const { observer } = await observe(`-x 80-10.0.0.2 --report ${at}/r.json`);
  const { account } = await observer.end();
  expect(account).not.toHaveProperty("comparison");
  expect(JSON.parse(readFileSync(`${at}/r.json`, "utf8"))).toMatchObject({ count: 0 });
});

test("a pile of pairs is taken in bits, between which the rest of the program runs", async () => {
  const memory = createPairMemory(4 << 20);
  const writer = new PairWriter(memory);
  for (let index = 0; index < 200; index++) writer.take(pair());
  let taken = 0;
  let between = 0;
  const collector = new Collector([new PairReader(memory)], () => {
    taken++;
    const until = performance.now() + 1;
    while (performance.now() < until);
  });
  const timer = setInterval(() => between++, 1);
  collector.start();
  while (taken < 200) await Bun.sleep(5);
  clearInterval(timer);
  expect(between).toBeGreaterThan(3);
  collector.finish();
});

test.each([
  ["-x 80-10.0.0.2", "", [["10.0.0.2:80", false]], [[0]]],
  [
    "-x 80-10.0.0.2,80-10.0.0.3,81-10.0.0.3:80,81-10.0.0.2:80",
    "--noise 10.0.0.3",
    [
      ["10.0.0.2:80", false],
      ["10.0.0.3:80", true],
    ],
    [
      [0, 1],
      [1, 0],
    ],
  ],
  [
    "-x 80-10.0.0.2|10.0.0.4,80-10.0.0.3,81-10.0.0.5,81-10.0.0.6",
    "--noise 10.0.0.3 --noise 10.0.0.6",
    [
      ["10.0.0.2:80|10.0.0.4:80", false],
      ["10.0.0.3:80, 10.0.0.6:81", true],
      ["10.0.0.5:81", false],
    ],
    [
      [0, 1],
      [2, 1],
    ],
  ],
] as const)("%s %s", async (words, noise, targets, indexes) => {
  const { comparison } = parse(`${words} --compare ${noise}`.trim());
  const found = comparedTargets(await servicesOf(words), comparison!.noise);
  expect(found.targets.map(({ label, isNoise }) => [label, isNoise])).toEqual(targets as never);
  expect(found.indexes).toEqual(indexes as never);
});

test("a service that only the old version gets is refused", async () => {
  const words = "-x 80-10.0.0.2,80-10.0.0.3,81-10.0.0.3";
  const { comparison } = parse(`${words} --compare --noise 10.0.0.3`);
  const services = await servicesOf(words);
  expect(failing(() => comparedTargets(services, comparison!.noise))).toEqual({
    message: 'Cannot use --noise for -x "81-10.0.0.3": nothing else gets the requests of 81-10.0.0.3',
    fix: "Name the target with the new version too, in a transfer of its own.",
    exitCode: 2,
  });
});

test("reports that cannot be written are refused", () => {
  const at = directory();
  const refused = (path: string) => failing(() => checkFiles([{ path, format: "json" }]));
  expect(refused(`${at}/none/r.json`)).toEqual({
    message: `Cannot use --report "${at}/none/r.json": there is no directory "${at}/none"`,
    fix: `Make it: mkdir -p "${at}/none"`,
    exitCode: 2,
  });
  expect(refused(at).message).toBe(`Cannot use --report "${at}": something else has this name`);
  writeFileSync(`${at}/r.json`, "old");
  expect(refused(`${at}/r.json/s.json`).message).toContain(`there is no directory "${at}/r.json"`);
  expect(() => checkFiles([{ path: `${at}/r.json`, format: "json" }])).not.toThrow();
});

test("a report replaces what was there, through a link, and one that cannot be written does not keep the others", async () => {
  const at = directory();
  const { observer } = await observe("-x 80-10.0.0.2");
  const report = observer.report();
  await observer.end();
  writeFileSync(`${at}/real.json`, "old");
  symlinkSync("real.json", `${at}/link.json`);
  const failures = await writeFiles(
    [
      { path: `${at}/gone/r.json`, format: "json" },
      { path: `${at}/link.json`, format: "json" },
    ],
    report,
  );
  expect(failures.map(({ message }) => message)).toEqual([
    expect.stringContaining(`Cannot write the report "${at}/gone/r.json": ENOENT`),
  ]);
  expect(statSync(`${at}/link.json`).isFile()).toBe(true);
  expect(readReport(readFileSync(`${at}/real.json`, "utf8"), "real.json").count).toBe(0);
  expect(readdirSync(at).sort()).toEqual(["link.json", "real.json"]);
});
