/** What a reload tells the data planes and the user, with a copy that only pretends to run. */
import { describe, expect, test } from "bun:test";
import { COPY } from "../../../src/command-line/copy.ts";
import { parseArguments } from "../../../src/command-line/reading/arguments.ts";
import type { PlaneNews } from "../../../src/copy/changes/news.ts";
import { parseCopy } from "../../../src/copy/options.ts";
import { Reloader } from "../../../src/copy/reload/reload.ts";
import type { RunningCopy } from "../../../src/copy/run/running.ts";

const read = (words: string) => ({
  options: parseCopy(parseArguments(COPY, `-x 80-10.0.0.2 ${words}`.trim().split(" "))),
});

/** A copy that runs with these words, and reads `next()` when it is told to. */
function pretend(words: string, next: () => string) {
  const news: PlaneNews[] = [];
  const logged: string[] = [];
  const told: string[] = [];
  const log = { info: (text: string) => logged.push(text), error: (text: string) => logged.push(text) };
  const current = { options: read(words).options, plan: { files: [], services: [], paths: [], ways: [] } };
  const running = {
    current,
    plane: {
      change: async (one: PlaneNews) => {
        news.push(one);
        return [{ taken: news.length, ending: 0 }];
      },
    },
    ways: { setHold() {} },
    words: new Int32Array(4),
    account: () => ({ sessions: { active: 1203 } }),
    log,
    manager: { reloading: () => told.push("reloading"), ready: () => told.push("ready") },
  } as unknown as RunningCopy;
  const reloader = new Reloader(read(words), () => read(next()), {
    takesSignal: true,
    name: null,
    reads: [],
  });
  return { reloader, running, news, logged, told, current };
}

describe("a reload", () => {
  test("tells the numbers that changed, once they were asked for", async () => {
    const { reloader, running, news, logged, told, current } = pretend(
      "-r 10",
      () => "-r 50 --limit 20/s --drain 7",
    );
    const early = reloader.reload();
    expect(news).toEqual([]);
    reloader.begin(running);
    const line = `reloaded ${process.pid}: -r 10 -> 50, --limit none -> 20/s, --drain 2 -> 7; 1,203 sessions go on`;
    expect(await early).toEqual({ exitCode: 0, lines: [line] });
    expect(logged).toEqual([line]);
    expect(told).toEqual(["reloading", "ready"]);
    expect(news).toMatchObject([{ numbers: { sample: 0.5, turnLimit: 20, round: 1 } }]);
    expect(current.options.drain).toBe(7);
    expect((await reloader.reload()).lines[0]).toContain(": nothing changed; ");
    expect(news.length).toBe(1);
  });

  test.each([
    ["-r 300", 2, /^Cannot reload: Cannot use -r "300": /],
    ["-r 20 -n 3", 2, /^Cannot reload: -n changed, which needs a restart$/],
  ])("with %s changes nothing, and says why", async (next, exitCode, message) => {
    const { reloader, running, news, logged, current } = pretend("-r 10", () => next);
    reloader.begin(running);
    const reloaded = await reloader.reload();
    expect(reloaded.exitCode).toBe(exitCode);
    expect(reloaded.lines).toEqual([
      expect.stringMatching(message),
      expect.stringContaining("Nothing is changed"),
    ]);
    expect(logged).toEqual([reloaded.lines.join("\n")]);
    expect(news).toEqual([]);
    expect(current.options.sample).toBe(0.1);
  });

  test("that fails for a bug does not end the copy", async () => {
    const { reloader, running } = pretend("-r 10", () => {
      throw new TypeError("boom");
    });
    reloader.begin(running);
    expect(await reloader.reload()).toMatchObject({
      exitCode: 1,
      lines: [expect.stringContaining("boom"), expect.stringContaining("bug")],
    });
    expect(await reloader.reload()).toMatchObject({ exitCode: 1 });
  });

  test("of a copy that ends is refused", async () => {
    const { reloader, running } = pretend("", () => "-r 5");
    reloader.begin(running);
    reloader.end();
    expect(await reloader.reload()).toMatchObject({ exitCode: 2 });
  });
});
