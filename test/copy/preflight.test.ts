/** What the preflight finds and the error that is made of it, for events in any order. */
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
        diagnose(
          preflight.findings,
          plan,
          new Map([["10.0.0.2:8080", { result: "answered", translatedTo: null }]]),
        );
        return "";
      } catch (error) {
        return (error as Error).message;
      }
    },
    /** The intercept's answer to the latest question. */
    answer: (facts: object) => world.questions.at(-1)!({ id: 0, ...facts }),
  };
}

test("a path that no intercept covers is reported, and no path is tried", () => {
  const { world, run, result, said } = setUp({ paths: [{}, {}], uncaught: [1] });
  expect(run()).toBe(true);
  expect(world.probes).toEqual([]);
  expect(result()).toEqual(["untried", "uncaught"]);
  expect(said()).toMatch(/none of the intercepts catches its responses \(10\.0\.0\.2 catches port 8080\)/);
});

for (const answer of ["answered", "refused"] as const) {
  test(`a path that was ${answer} keeps that result, also while it is held`, () => {
    const { world, preflight, run, result } = setUp();
    expect(preflight.run(0)).toBe(false);
    expect(world.probes).toEqual([0]);
    world.isOpen = false;
    world.results[0] = answer;
    expect(run()).toBe(true);
    expect(result()).toEqual([answer]);
  });
}

test("a path that was held for almost all of the time is tried when it is open again", () => {
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

test("a held path of UDP, which is not tried, is no error", () => {
  const { world, preflight, run, said } = setUp({ paths: [{}, { transport: "udp" }] });
  preflight.run(0);
  world.isOpen = false;
  world.results[0] = "answered";
  expect(run()).toBe(true);
  expect(said()).toBe("");
});

test("while a path is held, the time for its try does not run", () => {
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

test("a path that stays held although its intercept is connected is reported as untried", () => {
  const { world, preflight, run, result, said } = setUp();
  preflight.run(0);
  world.isOpen = false;
  expect(run()).toBe(true);
  expect(result()).toEqual(["untried"]);
  expect(said()).toMatch(/^Cannot try target "10\.0\.0\.2:8080": the intercept at 10\.0\.0\.2 .*busy/);
});

test("of several paths a definite result is reported, rather than one that could not be tried", () => {
  const { world, preflight, run, result, said } = setUp({ paths: [{}, {}] });
  preflight.run(0);
  world.isOpen = false;
  world.results[1] = "refused";
  expect(run()).toBe(true);
  expect(result()).toEqual(["untried", "refused"]);
  expect(said()).toBe('Cannot reach target "10.0.0.2:8080": connection refused');
});

test("an intercept that is lost during a try is reported, and not the try", () => {
  const { world, preflight, run, said } = setUp();
  preflight.run(0);
  world.isOpen = false;
  Object.assign(world.state, { up: false, text: "the intercept ends" });
  expect(run()).toBe(true);
  expect(said()).toBe('Cannot use the intercept at "10.0.0.2:36524": the intercept ends');
});

test("a long round, in which this host was busy, does not count as silence of an intercept", () => {
  const { world, preflight } = setUp();
  world.state.up = false;
  expect(preflight.run(0)).toBe(false);
  expect(preflight.run(20_000_000)).toBe(false);
  world.state.up = true;
  expect(preflight.run(20_050_000)).toBe(false);
  expect(preflight.run(40_000_000)).toBe(false);
  expect([world.probes.length, world.questions.length]).toEqual([1, 1]);
});

test("an intercept that is silent for a moment after a question is still waited for", () => {
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

test("an intercept 1.x that closes the connection during a try is reported at once", () => {
  const { world, preflight, said } = setUp({ compat: true });
  preflight.run(0);
  Object.assign(world.state, { up: false, text: "it ended; an intercept of xcopy needs --compat too" });
  expect(preflight.run(ROUND)).toBe(true);
  expect(said()).toMatch(/: it ended; an intercept of xcopy needs --compat too$/);
});

test("an intercept that answers a question late is waited for", () => {
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

test("the error for an intercept that does not answer the question says so", () => {
  const { world, run, said } = setUp();
  expect(run()).toBe(true);
  expect(world.registersAll).toBe(0);
  expect(said()).toMatch(
    /no response .* came back by the intercept at 10\.0\.0\.2, which did not say what it saw/,
  );
});

test.each([
  ["192.0.2.1", "192.0.2.1 is on the target's own network, net0, and does not answer ARP"],
  ["10.0.0.1", "10.0.0.1 is the gateway there and does not answer ARP"],
])(
  "a target that cannot resolve %s, its next hop to the tried address, cannot answer",
  (unresolved, cause) => {
    const { run, answer, said } = setUp();
    run(3_100_000);
    answer({ ...SEEN, route: { interface: "net0" }, strict: ["net0"], unresolved });
    expect(run()).toBe(true);
    expect(said()).toBe(
      `Cannot reach target "10.0.0.2:8080": the attempt from 192.0.2.1 arrived, but the target cannot send its response: ${cause}`,
    );
  },
);

test.each([
  ["requests", "it there"],
  ["answers", "the target's response to it"],
])("a rule of the target's netfilter that drops %s is named", (drops, what) => {
  const { run, answer, said } = setUp();
  run(3_100_000);
  answer({
    ...SEEN,
    strict: ["net0"],
    blocked: { drops, place: 'rule "drop" (handle 3)', fix: "nft '...'" },
  });
  expect(run()).toBe(true);
  expect(said()).toBe(
    `Cannot reach target "10.0.0.2:8080": the attempt from 192.0.2.1 arrived and was not answered, though an ordinary connection from this host is: when the intercept started, netfilter dropped ${what} by the rule "drop" (handle 3)`,
  );
});

test("an intercept that cannot be asked is not waited for", () => {
  const { world, run } = setUp();
  world.takesQuestions = false;
  world.state.welcome = { ...world.state.welcome!, mode: "compat" };
  expect(run(3_100_000)).toBe(true);
});

test("an intercept that answers with an error is quoted", () => {
  const { run, answer, said } = setUp();
  run(3_100_000);
  answer({ error: "too many questions; ask again in a second" });
  expect(run()).toBe(true);
  expect(said()).toMatch(/by the intercept at 10\.0\.0\.2, which reports: too many questions/);
});

test("a late response about the first try is not taken for one about the second", () => {
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

test("a target's response counts also if it arrives together with that of the intercept", () => {
  const { world, run, answer, result } = setUp();
  run(3_100_000);
  world.results[0] = "answered";
  answer({ ...SEEN, caught: 1, sent: 1 });
  expect(run()).toBe(true);
  expect([result(), world.registersAll]).toEqual([["answered"], 0]);
});
