/** What the tries before the first request found, and what is said of it, in whatever order things come to pass. */
import { expect, test } from "bun:test";
import type { DataPlaneConfig } from "../../src/copy/data-plane/config.ts";
import type { InterceptState, Intercepts } from "../../src/copy/data-plane/intercepts.ts";
import { Preflight } from "../../src/copy/data-plane/preflight.ts";
import { diagnose } from "../../src/copy/diagnosis.ts";
import type { Plan } from "../../src/copy/plan.ts";
import type { Engine } from "../../src/engine/engine.ts";

type Result = "answered" | "refused" | "silent";
type Take = (facts: { id: number; [fact: string]: unknown }) => void;

const TARGET = Uint8Array.of(10, 0, 0, 2);
const PROBE_FROM = [Uint8Array.of(192, 0, 2, 1)];
const SERVICES = [{ address: null, port: 8080 }];
/** us between two rounds of the loop. */
const ROUND = 50_000;

/** An intercept on the target that says that it has seen the try, and no answer to it. */
const SEEN = { mode: "target", known: true, caught: 0, listening: true };
const UNSEEN = { ...SEEN, known: false };

/** A run with these paths to one target, by one intercept that is there and catches all but `uncaught`. */
function setUp({ paths = [{}] as { transport?: "udp" }[], uncaught = [] as number[], compat = false } = {}) {
  const state: InterceptState = {
    index: 0,
    up: true,
    text: "",
    welcome: { mode: "target", slot: 0, cookie: "00".repeat(8), services: SERVICES, version: "1" },
    isRefused: false,
    covers: [...paths.keys()].filter((path) => !uncaught.includes(path)),
  };
  const world = {
    isOpen: true,
    results: paths.map(() => "silent" as Result),
    probes: [] as number[],
    questions: [] as Take[],
    takesQuestions: true,
    registersAll: 0,
    state,
    now: 0,
  };
  const engine = {
    get probeResults() {
      return world.results;
    },
    probe: (path: number) => 40_000 + world.probes.push(path),
  };
  const intercepts = {
    isOpen: (path: number) => world.isOpen && state.covers.includes(path),
    states: [state],
    ask: (_path: number, _what: string, _details: object, take: Take) => {
      if (world.takesQuestions) world.questions.push(take);
      return world.takesQuestions ? 1 : 0;
    },
    registerAll: () => world.registersAll++,
  };
  const config = {
    probe: true,
    paths: paths.map((path) => ({ ...path, target: TARGET, targetPort: 8080, local: null })),
    channel: { compat, probeFrom: paths.map(() => PROBE_FROM[0]) },
  };
  const preflight = new Preflight(
    config as unknown as DataPlaneConfig,
    engine as unknown as Engine,
    intercepts as unknown as Intercepts,
    0,
  );
  const plan = {
    paths: config.paths,
    probeFrom: config.channel.probeFrom,
    intercepts: [{ label: "10.0.0.2", address: { family: 4, bytes: TARGET }, port: 36524 }],
    services: [{ routes: [{ targets: [{ port: 8080 }] }] }],
  } as unknown as Plan;
  return {
    world,
    preflight,
    result: () => preflight.findings.probes.map(({ result }) => result),
    /** Rounds until it is done, or for so many us. */
    run(span = 60_000_000): boolean {
      const until = world.now + span;
      for (; world.now < until; world.now += ROUND) if (preflight.run(world.now)) return true;
      return preflight.run(world.now);
    },
    /** What is said of it; "" if it is copied. */
    said(): string {
      try {
        diagnose(preflight.findings, plan, new Map([["10.0.0.2:8080", "answered"]]));
        return "";
      } catch (error) {
        return (error as Error).message;
      }
    },
    /** The intercept's answer to the latest question. */
    answer: (facts: object) => world.questions.at(-1)!({ id: 0, ...facts }),
  };
}

test("a path that nobody catches is said to be, and not tried, nor is any other", () => {
  const { world, run, result, said } = setUp({ paths: [{}, {}], uncaught: [1] });
  expect(run()).toBe(true);
  expect(world.probes).toEqual([]);
  expect(result()).toEqual(["untried", "uncaught"]);
  expect(said()).toMatch(/none of the intercepts catches its answers \(10\.0\.0\.2 catches port 8080\)/);
});

for (const answer of ["answered", "refused"] as const) {
  test(`a path that was ${answer} is, also while a further connection to its intercept holds it`, () => {
    const { world, preflight, run, result } = setUp();
    expect(preflight.run(0)).toBe(false);
    expect(world.probes).toEqual([0]);
    world.isOpen = false;
    world.results[0] = answer;
    expect(run()).toBe(true);
    expect(result()).toEqual([answer]);
  });
}

test("a path whose intercept is not heard of for a moment when time is over is tried then", () => {
  const { world, run, result, said } = setUp();
  world.isOpen = false;
  expect(run(2_900_000)).toBe(false);
  world.isOpen = true;
  expect(run(200_000)).toBe(false);
  world.results[0] = "answered";
  expect(run()).toBe(true);
  expect(result()).toEqual(["answered"]);
  expect(said()).toBe("");
});

test("UDP, which is not tried, goes by an intercept that is not heard of for a moment", () => {
  const { world, preflight, run, said } = setUp({ paths: [{}, { transport: "udp" }] });
  preflight.run(0);
  world.isOpen = false;
  world.results[0] = "answered";
  expect(run()).toBe(true);
  expect(said()).toBe("");
});

test("while a path is held no time passes for its try", () => {
  const { world, run } = setUp();
  for (let i = 0; i < 5; i++) {
    expect(run(500_000)).toBe(false);
    world.isOpen = false;
    expect(run(2_000_000)).toBe(false);
    world.isOpen = true;
  }
  expect(world.questions.length).toBe(1);
  world.results[0] = "answered";
  expect(run()).toBe(true);
});

test("a path that stays held, by an intercept that is there, is said to be untried", () => {
  const { world, preflight, run, result, said } = setUp();
  preflight.run(0);
  world.isOpen = false;
  expect(run()).toBe(true);
  expect(result()).toEqual(["untried"]);
  expect(said()).toMatch(/^Cannot try target "10\.0\.0\.2:8080": the intercept at 10\.0\.0\.2 .*busy/);
});

test("of several paths what is known is said, before one that could not be tried", () => {
  const { world, preflight, run, result, said } = setUp({ paths: [{}, {}] });
  preflight.run(0);
  world.isOpen = false;
  world.results[1] = "refused";
  expect(run()).toBe(true);
  expect(result()).toEqual(["untried", "refused"]);
  expect(said()).toBe('Cannot reach target "10.0.0.2:8080": connection refused');
});

test("an intercept that is lost in the middle of a try is what is said", () => {
  const { world, preflight, run, said } = setUp();
  preflight.run(0);
  world.isOpen = false;
  Object.assign(world.state, { up: false, text: "the intercept ends" });
  expect(run()).toBe(true);
  expect(said()).toBe('Cannot use the intercept at "10.0.0.2:36524": the intercept ends');
});

test("a round that took long, as this host had no time, is no long silence of others", () => {
  const { world, preflight } = setUp();
  world.state.up = false;
  expect(preflight.run(0)).toBe(false);
  expect(preflight.run(20_000_000)).toBe(false);
  world.state.up = true;
  expect(preflight.run(20_050_000)).toBe(false);
  expect(preflight.run(40_000_000)).toBe(false);
  expect([world.probes.length, world.questions.length]).toEqual([1, 1]);
});

test("an intercept that is not heard of for a moment when it is asked is there, and says what it saw", () => {
  const { world, run, answer, said } = setUp();
  run(3_050_000);
  world.isOpen = false;
  expect(run(900_000)).toBe(false);
  world.isOpen = true;
  answer(UNSEEN);
  run(100_000);
  world.results[0] = "answered";
  expect(run()).toBe(true);
  expect(said()).toBe("");
});

test("an intercept 1.x that hangs up in the middle of a try is none, whether it is there again or not", () => {
  const { world, preflight, said } = setUp({ compat: true });
  preflight.run(0);
  Object.assign(world.state, { up: false, text: "it ended; an intercept of xcopy needs --compat too" });
  expect(preflight.run(ROUND)).toBe(true);
  expect(said()).toMatch(/: it ended; an intercept of xcopy needs --compat too$/);
});

test("an intercept that takes its time to say what it saw is waited for", () => {
  const { world, run, answer, said } = setUp();
  run(3_100_000);
  expect(world.questions.length).toBe(2);
  expect(run(2_000_000)).toBe(false);
  answer(UNSEEN);
  run(100_000);
  // The mark of the SYN may be lost on the way: another try, with the connection announced.
  expect([world.registersAll, world.probes.length]).toEqual([1, 2]);
  world.results[0] = "answered";
  expect(run()).toBe(true);
  expect(said()).toBe("");
});

test("one that does not say what it saw is not said to have seen nothing", () => {
  const { world, run, said } = setUp();
  expect(run()).toBe(true);
  expect(world.registersAll).toBe(0);
  expect(said()).toMatch(
    /no answer .* came back by the intercept at 10\.0\.0\.2, which did not say what it saw/,
  );
});

test("one that cannot be asked is not waited for", () => {
  const { world, run } = setUp();
  world.takesQuestions = false;
  world.state.welcome = { ...world.state.welcome!, mode: "compat" };
  expect(run(3_100_000)).toBe(true);
});

test("one that says that it cannot tell is quoted", () => {
  const { run, answer, said } = setUp();
  run(3_100_000);
  answer({ error: "too many questions; ask again in a second" });
  expect(run()).toBe(true);
  expect(said()).toMatch(/by the intercept at 10\.0\.0\.2, which reports: too many questions/);
});

test("what was seen of the first try is not said of the second", () => {
  const { world, run, answer, preflight } = setUp();
  run(3_100_000);
  const late = world.questions.at(-1)!;
  answer(UNSEEN);
  run(100_000);
  run(3_100_000);
  expect([world.probes.length, world.questions.length]).toEqual([2, 4]);
  late({ id: 0, ...UNSEEN, caught: 7 });
  answer({ ...SEEN, caught: 1, sent: 1 });
  expect(run()).toBe(true);
  expect(preflight.findings.probes[0]!.facts).toMatchObject([{ caught: 1, known: false }]);
});

test("an answer that comes with what the intercept saw is one", () => {
  const { world, run, answer, result } = setUp();
  run(3_100_000);
  world.results[0] = "answered";
  answer({ ...SEEN, caught: 1, sent: 1 });
  expect(run()).toBe(true);
  expect([result(), world.registersAll]).toEqual([["answered"], 0]);
});
