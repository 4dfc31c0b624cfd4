/** The rooms of the house: what each may import, how many files it has; where pointers are; what has no world. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const SRC = join(import.meta.dir, "../src");

/** At most so many files in a room, so that a look at it shows what there is. */
const MOST_FILES = 20;

/**
 * The rooms, each with those that it may import: only such as stand below it here, so that nothing leads back. "" is
 * src/main.ts.
 */
const ROOMS: [room: string, mayImport: string[]][] = [
  ["", ["commands", "command-line"]],
  [
    "commands",
    [
      "copy/reload",
      "copy/run",
      "copy/plan",
      "copy",
      "copy/comparison",
      "copy/data-plane",
      "intercept",
      "record",
      "top",
      "demo",
      "report",
      "doctor",
      "doctor/list",
      "host",
      "host/log",
      "netfilter",
      "compare",
      "channel",
      "filter",
      "configuration",
      "copies",
      "completion",
      "manual",
      "command-line/reading",
      "command-line",
      "native",
    ],
  ],
  ["doctor/list", ["doctor/way", "doctor/arrival", "doctor/host", "doctor/intercept", "doctor", "native"]],
  ["copies", ["host", "host/log", "host/manager", "config", "native"]],
  [
    "configuration",
    ["copy", "intercept", "record", "filter", "command-line/reading", "command-line", "native"],
  ],
  [
    "doctor/host",
    [
      "doctor",
      "copy/plan",
      "copy",
      "host",
      "capture",
      "config",
      "native",
      "native/facts",
      "native/netlink",
      "native/bpf",
    ],
  ],
  [
    "doctor/way",
    [
      "doctor/intercept",
      "doctor/trial",
      "doctor/arrival",
      "doctor",
      "copy",
      "copy/data-plane",
      "copy/target",
      "runtime",
      "netfilter/listed",
      "inject",
      "config",
      "native",
      "native/netlink",
      "native/probes",
    ],
  ],
  [
    "doctor/intercept",
    [
      "doctor/trial",
      "doctor",
      "copy",
      "copy/data-plane",
      "intercept/data-plane",
      "channel",
      "config",
      "wire",
      "native",
    ],
  ],
  ["doctor/trial", ["doctor", "copy/plan", "copy", "copy/data-plane", "host", "capture/kernel", "native"]],
  [
    "doctor/arrival",
    [
      "doctor",
      "copy",
      "runtime",
      "host",
      "netfilter/listed",
      "netfilter",
      "capture/trace",
      "capture/socket",
      "engine/sessions",
      "datagram",
      "config",
      "filter",
      "protocol/http",
      "protocol/mysql/packets",
      "wire",
      "native",
      "native/netlink",
    ],
  ],
  ["doctor", ["copy/plan", "copy", "channel", "config", "native", "native/netlink"]],
  ["top", ["copy/account", "runtime", "host", "web", "compare", "native"]],
  [
    "copy/reload",
    [
      "copy/run",
      "copy/plan",
      "copy",
      "copy/data-plane",
      "copy/changes",
      "copy/ways",
      "runtime",
      "host",
      "host/manager",
      "web",
      "inject",
      "capture/kernel",
      "capture",
      "engine/sessions",
      "config",
      "command-line/reading",
      "native",
    ],
  ],
  [
    "copy/run",
    [
      "copy",
      "copy/comparison",
      "copy/notes",
      "copy/account",
      "copy/data-plane",
      "copy/ways",
      "host",
      "host/log",
      "host/manager",
      "web",
      "netfilter",
      "capture/kernel",
      "channel",
      "config",
      "command-line/reading",
      "native",
      "native/bpf",
    ],
  ],
  [
    "copy/plan",
    [
      "copy",
      "copy/comparison",
      "copy/target",
      "copy/ways",
      "host",
      "inject",
      "channel",
      "config",
      "native",
      "native/netlink",
    ],
  ],
  [
    "copy",
    [
      "copy/comparison",
      "copy/notes",
      "copy/account",
      "copy/data-plane",
      "copy/changes",
      "copy/target",
      "copy/ways",
      "runtime",
      "host",
      "host/log",
      "netfilter",
      "inject",
      "capture/trace",
      "capture/socket",
      "capture/kernel",
      "capture",
      "channel",
      "engine/sessions",
      "datagram",
      "config",
      "filter",
      "command-line/reading",
      "command-line",
      "protocol/mysql",
      "wire",
      "native",
      "native/netlink",
    ],
  ],
  [
    "copy/comparison",
    [
      "copy/account",
      "copy/data-plane",
      "runtime",
      "host",
      "host/log",
      "report",
      "web",
      "compare",
      "compare/content",
      "compare/endpoint",
      "compare/mask",
      "datagram",
      "config",
      "command-line/reading",
      "command-line",
      "pairs",
      "native",
    ],
  ],
  ["copy/target", ["runtime", "netfilter", "config", "protocol/mysql/packets", "native/netlink"]],
  [
    "copy/notes",
    [
      "copy/account",
      "copy/data-plane",
      "runtime",
      "host/log",
      "netfilter",
      "inject",
      "capture/trace",
      "capture/trace/unmatched",
      "channel",
      "config",
      "native",
    ],
  ],
  [
    "copy/account",
    [
      "copy/data-plane",
      "copy/ways",
      "runtime",
      "capture/trace",
      "engine/sessions",
      "datagram",
      "protocol/mysql",
      "compare",
      "pairs",
    ],
  ],
  [
    "copy/data-plane",
    [
      "copy/changes",
      "copy/ways",
      "runtime",
      "inject",
      "capture/trace",
      "capture/socket",
      "capture",
      "channel",
      "engine",
      "engine/sessions",
      "datagram",
      "config",
      "protocol/http",
      "protocol/mysql",
      "protocol",
      "pairs",
      "wire",
      "native",
      "native/netlink",
    ],
  ],
  ["copy/changes", ["runtime", "inject", "capture", "engine", "engine/sessions", "protocol", "wire"]],
  [
    "copy/ways",
    ["runtime", "inject", "engine", "engine/sessions", "config", "wire", "native", "native/netlink"],
  ],
  [
    "intercept",
    [
      "intercept/data-plane",
      "runtime",
      "host",
      "host/log",
      "host/manager",
      "netfilter/listed",
      "netfilter",
      "capture",
      "channel",
      "config",
      "filter",
      "command-line/reading",
      "command-line",
      "native",
      "native/netlink",
      "native/bpf",
    ],
  ],
  [
    "intercept/data-plane",
    [
      "runtime",
      "netfilter/listed",
      "capture",
      "channel",
      "config",
      "wire",
      "native",
      "native/facts",
      "native/netlink",
      "native/bpf",
    ],
  ],
  [
    "record",
    [
      "runtime",
      "host",
      "host/log",
      "host/manager",
      "capture/kernel",
      "capture",
      "config",
      "command-line/reading",
      "command-line",
      "wire",
      "native",
      "native/netlink",
      "native/bpf",
    ],
  ],
  ["demo", ["native"]],
  ["web", ["report", "report/page", "compare", "config", "pairs", "native"]],
  ["report", ["report/page", "runtime", "compare", "pairs", "native"]],
  ["report/page", ["runtime", "compare", "pairs"]],
  ["runtime", ["capture", "native"]],
  [
    "host",
    [
      "host/log",
      "capture",
      "config",
      "filter",
      "native",
      "native/netlink",
      "native/bpf",
      "native/credentials",
    ],
  ],
  ["netfilter", ["capture", "config", "native", "native/netlink"]],
  ["netfilter/listed", ["config"]],
  ["inject", ["config", "wire", "native", "native/netlink"]],
  ["compare", ["compare/content", "compare/endpoint", "compare/looks", "compare/mask", "pairs", "native"]],
  ["compare/content", ["compare/looks", "native"]],
  ["compare/endpoint", ["compare/looks", "native"]],
  ["compare/mask", ["native"]],
  ["compare/looks", []],
  ["capture/trace", ["capture/trace/translation", "capture/trace/unmatched", "capture", "wire", "native"]],
  ["capture/trace/translation", ["capture", "config", "wire"]],
  ["capture/trace/unmatched", ["capture", "wire"]],
  ["capture/socket", ["capture", "filter", "wire", "native", "native/netlink"]],
  ["capture/kernel", ["capture", "filter", "wire", "native", "native/netlink", "native/bpf"]],
  ["capture", ["filter", "wire", "native", "native/netlink", "native/bpf"]],
  ["channel", ["config", "wire", "native"]],
  ["datagram", ["engine/sessions", "pairs", "wire"]],
  ["engine", ["engine/tcp", "engine/turns", "engine/sessions", "protocol", "wire"]],
  ["engine/tcp", ["engine/turns", "engine/sessions", "protocol", "wire"]],
  ["engine/turns", ["engine/sessions", "protocol", "wire"]],
  ["engine/sessions", ["protocol", "wire"]],
  ["config", ["command-line/reading", "protocol/mysql", "protocol", "native"]],
  ["filter", ["native", "native/bpf"]],
  ["completion", ["command-line"]],
  ["manual", ["command-line/reading", "command-line", "native"]],
  ["command-line/reading", ["command-line", "host/log", "toml", "native"]],
  ["command-line", ["native"]],
  ["host/log", ["host/manager", "native"]],
  ["host/manager", ["native", "native/notify"]],
  ["protocol/http", ["protocol", "pairs"]],
  [
    "protocol/mysql",
    ["protocol/mysql/pairs", "protocol/mysql/sql", "protocol/mysql/packets", "protocol", "pairs"],
  ],
  ["protocol/mysql/pairs", ["protocol/mysql/sql", "protocol/mysql/packets", "pairs"]],
  ["protocol/mysql/sql", ["pairs"]],
  ["protocol/mysql/packets", []],
  ["protocol", []],
  ["pairs", []],
  ["wire", []],
  ["toml", []],
  ["native/probes", ["native"]],
  ["native/bpf", ["native"]],
  ["native/facts", ["native"]],
  ["native/credentials", ["native"]],
  ["native/netlink", ["native"]],
  ["native/notify", ["native"]],
  ["native", []],
];

interface Import {
  /** Paths below src. */
  from: string;
  to: string;
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
const text = (path: string) => readFileSync(join(SRC, path), "utf8");
/** The room that a file is in; "" is src itself. */
const roomOf = (path: string) => (path.includes("/") ? dirname(path) : "");

/** The room with all rooms below it. */
const areaOf = (path: string) => path.split("/")[0]!;

/** Module names after `from` or in `import(...)`, of types too. */
function modulesOf(path: string): string[] {
  const statements = text(path).matchAll(
    /^(?:import|export)\s+[^;"]*?from\s+"(?<static>[^"]+)"|^import\s+"(?<bare>[^"]+)"|\bimport\(\s*"(?<dynamic>[^"]+)"/gm,
  );
  return [...statements].map(({ groups }) => (groups!.static ?? groups!.bare ?? groups!.dynamic)!);
}

const imports: Import[] = files.flatMap((from) =>
  modulesOf(from)
    .filter((module) => module.startsWith("."))
    .map((module) => ({ from, to: relative(SRC, join(SRC, dirname(from), module)) }))
    // The kernel programs, the libraries and package.json.
    .filter(({ to }) => !to.startsWith("..")),
);

/** The files that an import, or imports of imports, lead back to; each circle by its files. */
function circlesIn(imports: Import[]): string[][] {
  const below = new Map<string, string[]>();
  for (const { from, to } of imports) below.set(from, [...(below.get(from) ?? []), to]);
  const reached = (from: string) => {
    const seen = new Set<string>();
    const open = [...(below.get(from) ?? [])];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      open.push(...(below.get(next) ?? []));
    }
    return seen;
  };
  const all = new Map([...below.keys()].map((file) => [file, reached(file)]));
  const inCircles = [...all.keys()].filter((file) => all.get(file)!.has(file)).sort();
  const circleOf = (file: string) =>
    inCircles.filter((other) => all.get(file)!.has(other) && all.get(other)?.has(file));
  return Object.values(Object.fromEntries(inCircles.map((file) => [circleOf(file).join(), circleOf(file)])));
}

test("the imports are found", () => {
  expect(imports).toContainEqual({ from: "main.ts", to: "commands/copy.ts" });
  // Only types.
  expect(imports).toContainEqual({ from: "inject/create.ts", to: "inject/path.ts" });
  expect(imports.filter(({ to }) => !files.includes(to))).toEqual([]);
});

test("every room is in the plan, and has no more files than one can look over", () => {
  const rooms = Map.groupBy(files, roomOf);
  expect([...rooms.keys()].sort()).toEqual(ROOMS.map(([room]) => room).sort());
  const full = [...rooms].filter(([, inside]) => inside.length > MOST_FILES);
  expect(full.map(([room, inside]) => `${room}: ${inside.length}`)).toEqual([]);
});

test("the plan leads one way", () => {
  const order = ROOMS.map(([room]) => room);
  const back = ROOMS.flatMap(([room, mayImport]) =>
    mayImport.filter((other) => order.indexOf(other) <= order.indexOf(room)).map((other) => [room, other]),
  );
  expect(back).toEqual([]);
});

test("imports go the way of the plan, of types too", () => {
  const plan = new Map(ROOMS);
  const wrong = imports.filter(({ from, to }) => {
    const [here, there] = [roomOf(from), roomOf(to)];
    return here !== there && !plan.get(here)?.includes(there);
  });
  expect(wrong).toEqual([]);
});

test("what the plan allows is used", () => {
  const used = new Set(imports.map(({ from, to }) => `${roomOf(from)} > ${roomOf(to)}`));
  const unused = ROOMS.flatMap(([room, mayImport]) => mayImport.map((other) => `${room} > ${other}`));
  expect(unused.filter((pair) => !used.has(pair))).toEqual([]);
});

test("no imports go in circles, of types neither", () => {
  expect(circlesIn(imports)).toEqual([]);
  const circle = ["a", "b", "c"].map((from, index) => ({ from, to: "abc"[(index + 1) % 3]! }));
  expect(circlesIn([...circle, { from: "d", to: "a" }, { from: "c", to: "e" }])).toEqual([["a", "b", "c"]]);
});

test("pointers stay in src/native", () => {
  const users = files.filter((path) => modulesOf(path).some((module) => module === "bun:ffi"));
  expect(users.length).toBeGreaterThan(0);
  expect(users.filter((path) => areaOf(path) !== "native")).toEqual([]);
});

test("the engine knows no protocol, only what a module is", () => {
  const known = imports.filter(({ from, to }) => areaOf(from) === "engine" && areaOf(to) === "protocol");
  expect([...new Set(known.map(({ to }) => to))]).toEqual(["protocol/module.ts"]);
});

test("protocol modules have no clock, no input, no output", () => {
  const world = /\b(Date|performance|process|console|Bun|setTimeout|setInterval|fetch)\b[.(]|new Date\b/;
  const pure = files.filter((path) => areaOf(path) === "protocol");
  const code = (path: string) => text(path).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  expect(pure.filter((path) => world.test(code(path)))).toEqual([]);
  const modules = pure.flatMap((path) => modulesOf(path));
  expect([...new Set(modules.filter((module) => !module.startsWith(".")))].sort()).toEqual([
    "node:crypto",
    "node:zlib",
  ]);
});

test("wire and the engine have no clock, no input, no output", () => {
  const world = /\b(Date|performance|process|console|Bun|setTimeout|setInterval|fetch)\b[.(]|new Date\b/;
  const pure = files.filter((path) => ["wire", "engine", "datagram"].includes(areaOf(path)));
  expect(pure.length).toBeGreaterThan(0);
  const code = (path: string) => text(path).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  expect(pure.filter((path) => world.test(code(path)))).toEqual([]);
  const modules = pure.flatMap((path) => modulesOf(path));
  expect(modules.filter((module) => !module.startsWith("."))).toEqual([]);
});

test("the channel has one file for sockets and one for its key, the rest has no clock and no input", () => {
  const world = /\b(Date|performance|process|console|Bun|setTimeout|setInterval|fetch)\b[.(]|new Date\b/;
  const core = files.filter(
    (path) => areaOf(path) === "channel" && !["channel/socket.ts", "channel/key.ts"].includes(path),
  );
  expect(core.length).toBeGreaterThan(0);
  const code = (path: string) => text(path).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  expect(core.filter((path) => world.test(code(path)))).toEqual([]);
  const modules = core.flatMap((path) => modulesOf(path));
  const outside = modules.filter((module) => /^(?!\.\/|\.\.\/wire\/)/.test(module));
  expect([...new Set(outside)].sort()).toEqual(["../native/failure.ts", "node:crypto"]);
});

test("the same source can be built and run as it is: imports name their files", () => {
  const modules = files.flatMap((path) => modulesOf(path));
  const vague = modules.filter(
    (module) => module.startsWith(".") && !/\.(ts|json|o|so\.1|txt)$/.test(module),
  );
  expect(vague).toEqual([]);
});

const ROOT = join(SRC, "..");
const PAGES = /^(src|test|bench|bpf|bin|docs|packaging)\/.*\.(ts|c|h|md|sh)$|^README\.md$/;

/** What a person reads: a document whole, of code the comments. */
function proseOf(page: string): string {
  const whole = readFileSync(join(ROOT, page), "utf8");
  return page.endsWith(".md") ? whole : (whole.match(/\/\*[\s\S]*?\*\/|(?:\/\/|^#).*/gm) ?? []).join("\n");
}

const pages = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).filter((path) => PAGES.test(path));

test("the first line of every file says what it is", () => {
  const code = pages.filter((path) => /\.(ts|c|h)$/.test(path));
  expect(code.length).toBeGreaterThan(400);
  const begins = /^(#!.*\n|\/\* SPDX.*\n)?\/\*\*?\s*(\*\s)?(?!SPDX)\S/;
  expect(code.filter((path) => !begins.test(readFileSync(join(ROOT, path), "utf8")))).toEqual([]);
});

test("the paths that documents and comments name are there", () => {
  const gone = pages.flatMap((page) => {
    const paths = proseOf(page).matchAll(
      /(?<![\w./<-])(?:src|test|bench|bpf|bin|docs|packaging)\/[\w./-]*\w/g,
    );
    const missing = [...paths].filter(([path]) => !path.includes("NAME") && !existsSync(join(ROOT, path)));
    return missing.map(([path]) => `${page}: ${path}`);
  });
  expect(gone).toEqual([]);
});

test("the map for contributors has every room", () => {
  const map = readFileSync(join(ROOT, "docs/development/map.md"), "utf8");
  const rooms = ROOMS.filter(([room]) => room !== "").map(([room]) => `**src/${room}**`);
  expect(rooms.filter((room) => !map.includes(room))).toEqual([]);
});
