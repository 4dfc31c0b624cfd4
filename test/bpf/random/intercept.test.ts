/** The programs of the intercept, as `agrees.test.ts` has it for those of a copy. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import fc from "fast-check";
import type { InterceptKernel } from "../../../src/intercept/kernel.ts";
import { COOKIE, loadForTest, SLOT, type TestIntercept } from "../../intercept/load.ts";
import { SYN } from "../build.ts";
import { Namespace } from "../namespace.ts";
import { hexOf } from "./dissect.ts";
import { InterceptReference, type InterceptSettings } from "./intercept-reference.ts";
import { type Shape, shape } from "./packets.ts";
import { agrees, nextPlaces, type Player, type Site } from "./play.ts";

const UNKNOWN = [...COOKIE].reverse();
const SETTINGS: InterceptSettings = {
  ports: [8080],
  slots: new Map([[hexOf(COOKIE), SLOT]]),
  isRead: false,
  isAlive: true,
};

let site: Site;
const opened: InterceptKernel[] = [];

beforeAll(() => {
  const namespace = new Namespace();
  namespace.ip("link", "add", "xca", "type", "veth", "peer", "name", "xcb");
  site = { namespace, ifindexes: ["xca", "xcb"].map((name) => namespace.ifindex(name)) };
});
afterAll(() => {
  for (const kernel of opened) kernel.detach();
  site?.namespace.remove();
});

function load(options: NonNullable<Parameters<typeof loadForTest>[0]> = {}): TestIntercept {
  const intercept = site.namespace.enter(() => loadForTest({ ringBytes: 1 << 19, ...options }));
  opened.push(intercept.kernel);
  return intercept;
}

/** Port 8080 first: that of the service. */
const places = () => ({ ...nextPlaces(), ports: [8080, 80, 53, 81] });

/** What clients and copies send in, often a SYN that opens a flow; and what the target answers, often in that flow. */
const conversation = fc
  .tuple(shape, fc.constantFrom("opens", "opens", "opens for nobody", "as it is"), fc.boolean())
  .map(([one, what, isAnswer]): Shape => {
    if (isAnswer) return { ...one, isAnswer };
    if (what === "as it is") return { ...one, isAnswer };
    const cookie = what === "opens" ? [...COOKIE] : UNKNOWN;
    return {
      ...one,
      isAnswer,
      protocol: "tcp",
      flags: SYN | (one.flags & 0xc0),
      cookie,
      tcpOptions: one.tcpOptions % 32,
    };
  });

function beat(intercept: TestIntercept, { isAlive, isRead }: InterceptSettings): void {
  intercept.beat();
  intercept.setRead(isRead);
  if (!isAlive) intercept.stop();
}

describe("on the target", () => {
  test.each([
    ["flows of copies are learned, and their responses caught", {}],
    ["while user space stands still, too", { isAlive: false }],
  ])("%s", (_, some) => {
    const intercept = load();
    const { learnProgram, catchProgram } = intercept.kernel;
    const settings = { ...SETTINGS, ...some };
    const player = (): Player => {
      beat(intercept, settings);
      const reference = new InterceptReference(settings);
      return {
        program: ({ isAnswer }) => (isAnswer ? catchProgram : learnProgram),
        isAtTc: true,
        expect: (seen, { isAnswer }) => (isAnswer ? reference.catch(seen) : reference.learn(seen)),
        take: intercept.take,
        counted: intercept.counted,
      };
    };
    agrees(site, player, conversation, places);
  });
});

describe("on an assistant", () => {
  test.each<[string, Parameters<typeof loadForTest>[0], Partial<InterceptSettings>]>([
    ["all that comes is swallowed", {}, {}],
    ["with payload", {}, { isRead: true }],
    ["while user space stands still", {}, { isAlive: false }],
    ["at XDP", { hook: "xdp" }, { isXdp: true }],
    [
      "at XDP, from one buffer, with payload",
      { hook: "xdp", xdpPrograms: ["xdp-linear"] },
      { isXdp: true, isRead: true },
    ],
  ])("%s", (_, options, some) => {
    const intercept = load({ ...options, mode: "assistant" });
    const { swallowProgram } = intercept.kernel;
    const settings = { ...SETTINGS, ...some };
    const player = (): Player => {
      beat(intercept, settings);
      const reference = new InterceptReference(settings);
      const verdict = settings.isXdp ? { verdict: 1 } : {};
      return {
        program: () => swallowProgram,
        isAtTc: !settings.isXdp,
        expect: (seen) => ({ ...reference.swallow(seen), ...verdict }),
        take: intercept.take,
        counted: intercept.counted,
      };
    };
    agrees(site, player, shape, places);
  });
});
