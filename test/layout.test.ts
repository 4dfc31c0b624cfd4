/** The layout shows the data's way: imports go one way, pointers stay in one place, the engine has no world. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const SRC = join(import.meta.dir, "../src");

/** What each directory may import besides itself; the directory "" is src/main.ts. */
const MAY_IMPORT: Record<string, string[]> = {
  "": ["commands"],
  capture: ["filter", "native", "native/bpf", "wire"],
  "capture/socket": ["capture", "filter", "native", "wire"],
  "capture/trace": ["capture", "native", "wire"],
  channel: ["config", "native", "wire"],
  "command-line": ["native"],
  commands: [
    "channel",
    "command-line",
    "copy",
    "demo",
    "filter",
    "host",
    "intercept",
    "native",
    "netfilter",
    "record",
  ],
  config: ["command-line", "copy/data-plane", "native"],
  copy: [
    "capture",
    "capture/socket",
    "capture/trace",
    "channel",
    "command-line",
    "config",
    "copy/account",
    "copy/data-plane",
    "datagram",
    "filter",
    "host",
    "inject",
    "native",
    "netfilter",
    "protocol/mysql/packets",
    "runtime",
  ],
  "copy/account": [
    "capture/trace",
    "copy/data-plane",
    "datagram",
    "engine/sessions",
    "protocol/mysql",
    "runtime",
  ],
  "copy/data-plane": [
    "capture",
    "capture/socket",
    "capture/trace",
    "channel",
    "config",
    "copy/account",
    "datagram",
    "engine",
    "engine/sessions",
    "inject",
    "native",
    "protocol",
    "protocol/http",
    "protocol/mysql",
    "runtime",
    "wire",
  ],
  datagram: ["wire"],
  demo: ["native"],
  engine: ["engine/sessions", "engine/tcp", "engine/turns", "wire"],
  "engine/sessions": ["engine/turns", "protocol", "wire"],
  "engine/tcp": ["engine/sessions", "engine/turns", "protocol", "wire"],
  "engine/turns": ["engine/sessions", "protocol", "wire"],
  filter: ["native", "native/bpf"],
  host: ["capture", "config", "copy", "copy/account", "copy/data-plane", "native", "native/bpf"],
  inject: ["config", "copy/data-plane", "native", "wire"],
  intercept: [
    "capture",
    "channel",
    "command-line",
    "config",
    "copy",
    "copy/account",
    "copy/data-plane",
    "host",
    "intercept/data-plane",
    "native",
    "native/bpf",
    "netfilter",
    "runtime",
    "wire",
  ],
  "intercept/data-plane": [
    "capture",
    "channel",
    "config",
    "copy/data-plane",
    "intercept",
    "native",
    "runtime",
    "wire",
  ],
  native: [],
  "native/bpf": ["native"],
  netfilter: ["capture", "config", "native"],
  protocol: [],
  "protocol/http": ["protocol"],
  "protocol/mysql": ["copy/data-plane", "protocol", "protocol/mysql/packets"],
  "protocol/mysql/packets": [],
  record: [
    "capture",
    "command-line",
    "config",
    "copy",
    "copy/account",
    "copy/data-plane",
    "host",
    "native",
    "native/bpf",
    "runtime",
    "wire",
  ],
  runtime: ["capture", "copy/account", "host", "native"],
  wire: [],
};

/** Plain data that is agreed upon between the parts: its types may be imported from below. */
const CONTRACTS = ["copy/data-plane/config.ts"];

interface Import {
  /** Paths below src. */
  from: string;
  to: string;
  typeOnly: boolean;
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
const text = (path: string) => readFileSync(join(SRC, path), "utf8");
/** The room that a file is in; "" is src itself. */
const directoryOf = (path: string) => (path.includes("/") ? dirname(path) : "");

/** The room with all rooms below it. */
const areaOf = (path: string) => path.split("/")[0]!;

/** Module names after `from` or in `import(...)`, and whether only types come from there. */
function modulesOf(path: string): { module: string; typeOnly: boolean }[] {
  const statements = text(path).matchAll(
    /^(?:import|export)\s+(?<type>type\s)?[^;"]*?from\s+"(?<static>[^"]+)"|^import\s+"(?<bare>[^"]+)"|\bimport\(\s*"(?<dynamic>[^"]+)"/gm,
  );
  return [...statements].map(({ groups }) => ({
    module: (groups!.static ?? groups!.bare ?? groups!.dynamic)!,
    typeOnly: groups!.type !== undefined,
  }));
}

const imports: Import[] = files.flatMap((from) =>
  modulesOf(from)
    .filter(({ module }) => module.startsWith("."))
    .map(({ module, typeOnly }) => ({ from, to: relative(SRC, join(SRC, dirname(from), module)), typeOnly }))
    // The kernel programs, the libraries and package.json.
    .filter(({ to }) => !to.startsWith("..")),
);

test("the imports are found", () => {
  expect(imports).toContainEqual({ from: "main.ts", to: "commands/copy.ts", typeOnly: false });
  expect(imports).toContainEqual({
    from: "inject/create.ts",
    to: "copy/data-plane/config.ts",
    typeOnly: true,
  });
  expect(imports.filter(({ to }) => !files.includes(to))).toEqual([]);
});

test("imports go one way", () => {
  const wrong = imports.filter(({ from, to, typeOnly }) => {
    const [here, there] = [directoryOf(from), directoryOf(to)];
    return here !== there && !MAY_IMPORT[here]?.includes(there) && !(typeOnly && CONTRACTS.includes(to));
  });
  expect(wrong).toEqual([]);
});

test("pointers stay in src/native", () => {
  const users = files.filter((path) => modulesOf(path).some(({ module }) => module === "bun:ffi"));
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
  const modules = pure.flatMap((path) => modulesOf(path).map(({ module }) => module));
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
  const modules = pure.flatMap((path) => modulesOf(path).map(({ module }) => module));
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
  const modules = core.flatMap((path) => modulesOf(path).map(({ module }) => module));
  const outside = modules.filter((module) => /^(?!\.\/|\.\.\/wire\/)/.test(module));
  expect([...new Set(outside)].sort()).toEqual(["../native/failure.ts", "node:crypto"]);
});

test("the same source can be built and run as it is: imports name their files", () => {
  const modules = files.flatMap((path) => modulesOf(path).map(({ module }) => module));
  const vague = modules.filter((module) => module.startsWith(".") && !/\.(ts|json|o|so\.1)$/.test(module));
  expect(vague).toEqual([]);
});
