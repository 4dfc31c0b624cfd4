/**
 * Runs xcopy with a fake data plane, to test what the main thread does about its results, its end and its death.
 * usage: bun plane.ts dies|hangs|ends|refused|silent|never WORD...
 */
import { join } from "node:path";

const [behaviour, ...words] = process.argv.slice(2);
const probes: Record<string, string> = {
  refused: '[{ path: 0, result: "answered", facts: [] }, { path: 1, result: "refused", facts: [] }]',
  silent: '[{ path: 0, result: "silent", facts: [] }]',
};
const ready =
  behaviour === "never"
    ? "new Promise(() => {})"
    : `Promise.resolve({ probes: ${probes[behaviour!] ?? "[]"}, intercepts: [] })`;
// A rejected promise that is never awaited must not end the process.
const ended =
  behaviour === "dies" ? 'Bun.sleep(50).then(() => { throw new Error("boom"); })' : "stopped.promise";

Bun.plugin({
  name: "fake data plane",
  setup(build) {
    build.onLoad({ filter: /src\/copy\/data-plane\/start\.ts$/ }, () => ({
      loader: "ts",
      contents: `
        export function prepareDataPlane() {}
        export function startDataPlane() {
          const stopped = Promise.withResolvers();
          const end = () => ${behaviour === "ends" ? "stopped.resolve()" : "undefined"};
          return { ready: ${ready}, ended: ${ended}, drain: end, stop: end };
        }`,
    }));
  },
});

process.argv.splice(1, Number.POSITIVE_INFINITY, join(import.meta.dir, "../../src/main.ts"), ...words);
await import("../../src/main.ts");
