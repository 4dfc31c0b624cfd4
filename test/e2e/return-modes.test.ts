/** All modes of an intercept: each request arrives once, and no client gets a packet of the target. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { brokenConnections } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { countGhosts, type Ghosts } from "../support/ghosts.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type LoggedRequest, readRequests, startNginx } from "../support/nginx.ts";
import { createElsewhere, createThird, setForwarding, THIRD, THIRD6 } from "../support/third.ts";
import { isVisit, startVisitors } from "../support/visit.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

const COUNT = 1500;

let lab: Lab;
let third: string;
let elsewhere: string;
let ghosts: Ghosts[];
beforeAll(() => {
  lab = createLab();
  elsewhere = createElsewhere(lab);
  ghosts = [countGhosts(lab.client, 8080), countGhosts(lab.online, 8080, ["10.0.0.1", "fd00::1"])];
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** What was asked, and by whom. */
const askedBy = ({ content, address }: LoggedRequest) => `${address} ${content}`;
const asked = ({ content }: LoggedRequest) => content;

interface Mode {
  name: string;
  /** Where the intercept runs, and its arguments. */
  host: () => string;
  intercept: string[];
  at: string;
  copy?: string[];
  ip6?: boolean;
  close?: boolean;
  /** Source addresses that the target must see; those of the clients if not given. */
  sources?: RegExp;
  prepare?: () => void;
}

const onTarget = () => lab.target;
const onThird = () => third;
const pool = ["-c", "10.9.0.1-10.9.0.20"];
const pool6 = ["-c", "fd00:9::1-fd00:9::10"];

const MODES: Mode[] = [
  {
    name: "target, a pool",
    host: onTarget,
    at: TARGET,
    intercept: ["-o", ":8080", "--linger", "1"],
    copy: pool,
    sources: /^10\.9\.0\.\d+$/,
    close: true,
  },
  {
    name: "nfqueue",
    host: onTarget,
    at: TARGET,
    intercept: ["--mode", "nfqueue", "-o", ":8080", "-x", "10.0.0.1,10.5.0.2"],
  },
  {
    name: "nfqueue, short connections",
    host: onTarget,
    at: TARGET,
    intercept: ["--mode", "nfqueue", "-o", ":8080", "-x", "10.0.0.1,10.5.0.2"],
    close: true,
  },
];
MODES.push(
  {
    name: "nfqueue, --compat",
    host: onTarget,
    at: TARGET,
    intercept: [
      "--mode",
      "nfqueue",
      "--compat",
      "--compat-from",
      "10.0.0.1",
      "-o",
      ":8080",
      "-x",
      "10.0.0.1,10.5.0.2",
    ],
    copy: ["--compat"],
    close: true,
  },
  {
    name: "assistant, --compat",
    host: onThird,
    at: THIRD,
    intercept: ["--compat", "--compat-from", "10.0.0.0/30,10.4.0.1", "-o", "10.0.0.2:8080", "--linger", "1"],
    copy: ["--compat", "-C", "2"],
  },
);
for (const hook of ["tcx", "xdp"]) {
  for (const forwards of [true, false]) {
    const prepare = () => setForwarding(third, forwards);
    const name = `assistant that ${forwards ? "forwards" : "does not forward"}, ${hook}`;
    const base = { host: onThird, at: THIRD, prepare };
    const intercept = ["-o", "10.0.0.2:8080", "--hook", hook, "--linger", "1"];
    MODES.push({ ...base, name, intercept, close: !forwards });
    if (forwards)
      MODES.push({
        ...base,
        name: `${name}, a pool`,
        intercept,
        copy: pool,
        sources: /^10\.9\.0\.\d+$/,
        close: true,
      });
  }
  const intercept6 = ["-o", "[fd00::2]:8080", "--hook", hook, "--linger", "1"];
  MODES.push({
    name: `assistant, IPv6, ${hook}`,
    host: onThird,
    at: THIRD,
    intercept: intercept6,
    ip6: true,
    close: hook === "xdp",
    prepare: () => setForwarding(third, true),
  });
  MODES.push({
    name: `assistant, IPv6, ${hook}, a pool`,
    host: onThird,
    at: `[${THIRD6}]`,
    intercept: [...intercept6, "-b", THIRD6],
    ip6: true,
    copy: pool6,
    sources: /^fd00:9::/,
    close: hook === "tcx",
    prepare: () => setForwarding(third, true),
  });
}

for (const {
  name,
  host,
  intercept,
  at,
  copy: more = [],
  ip6 = false,
  close = false,
  sources,
  prepare,
} of MODES) {
  test(`${name}: each request once, and no other client notices`, async () => {
    if (host === onThird) third ??= createThird(lab);
    prepare?.();
    const [from, to] = [await startNginx(lab, lab.online, 80), await startNginx(lab, lab.target, 8080)];
    const catching = await startIntercept(lab, host(), intercept);
    const target = ip6 ? `[${TARGET6}]` : TARGET;
    const copy = await startCopy(lab, ["-x", `80-${target}:8080`, "-s", at, ...more]);
    const visits = [
      await startVisitors(lab, lab.online, `http://${TARGET}:8080`),
      await startVisitors(lab, elsewhere, "http://10.5.0.1:8080"),
    ];
    const [broken, out] = [brokenConnections(lab.client), ghosts.map((ghost) => ghost.count())];

    const result = await load(lab, {
      url: `http://${ip6 ? `[${ONLINE6}]` : ONLINE}`,
      rate: 1500,
      count: COUNT,
      close,
    });
    const visitors = await Promise.all(visits.map((end) => end(5)));
    await copy.report("all responses", ({ turns }) => turns.answered === COUNT);
    const { code, report } = await copy.stop();
    const caught = await catching.stop();

    expect(result).toMatchObject({ requests: COUNT, errors: 0 });
    for (const { short, checks, failures } of visitors) {
      expect(failures).toEqual([]);
      expect(Math.min(short, checks)).toBeGreaterThan(5);
    }
    expect(brokenConnections(lab.client)).toBe(broken);
    const [sent, arrived] = [
      await readRequests(from),
      (await readRequests(to)).filter((request) => !isVisit(request)),
    ];
    const what = sources ? asked : askedBy;
    expect(compareContents(sent.map(what), arrived.map(what))).toEqual(EXACTLY_ONCE);
    if (sources) expect(arrived.filter(({ address }) => !sources.test(address))).toEqual([]);
    expect(report.turns).toEqual({ captured: COUNT, sent: COUNT, answered: COUNT, dropped: 0, pending: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect([code, caught.code]).toEqual([0, 0]);
    expect(ghosts.map((ghost) => ghost.count())).toEqual(out);
  });
}
