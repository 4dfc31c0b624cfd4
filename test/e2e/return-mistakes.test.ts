/**
 * What may be wrong with a return path: copy ends with code 3 before the first request, names the place where the tried
 * connection failed and a fix; and the fix works.
 */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ip, ONLINE, TARGET } from "../../src/demo/network.ts";
import { countGhosts } from "../support/ghosts.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { createThird, joinHosts, setFilter, THIRD } from "../support/third.ts";
import { load } from "../support/wrk.ts";
import { launchCopy, startCopy } from "../support/xcopy.ts";

interface Mistake {
  name: string;
  /** Arguments of the intercept besides -o; null: there is none. */
  intercept?: string[] | null;
  copy?: string[];
  /** On a host of its own. */
  assistant?: boolean;
  /** There is no service at the target. */
  idle?: boolean;
  make?: (lab: Lab) => void;
  cause: RegExp;
  fix: RegExp;
  /** Does what the fix says. */
  mend?: (lab: Lab) => unknown;
  /** Arguments of copy, and of an intercept that takes the place of the first, where that is the fix. */
  mended?: { copy?: string[]; intercept?: string[] };
}

const KEYS = { one: "0123456789abcdef0123456789abcdef", other: "a-quite-different-key-of-32-bytes" };

/** A firewall: one rule in a chain of a hook. */
function block(namespace: string, hook: string, rule: string): void {
  const family = hook.includes("device") ? "netdev" : "inet";
  run(
    namespace,
    "nft",
    `table ${family} block {\n chain b {\n type filter hook ${hook} priority 0\n ${rule}\n }\n}`,
  );
}

function unblock(namespace: string): void {
  for (const family of ["netdev", "inet"]) {
    if (run(namespace, "nft", "list", "tables").includes(`table ${family} block`))
      run(namespace, "nft", "delete", "table", family, "block");
  }
}

/** The target's way back to these clients leads out of another interface than the way in. */
function routeElsewhere(lab: Lab, clients: string): void {
  joinHosts(lab.target, "other", ["10.8.0.1", "fd00:8::1"], lab.client, "other", ["10.8.0.2", "fd00:8::2"]);
  ip("-n", lab.target, "route", "add", clients, "via", "10.8.0.2");
  setFilter(lab.target, 1);
}

const serve = (lab: Lab) => startNginx(lab, lab.target, 8080);
const unblockTarget = (lab: Lab) => unblock(lab.target);
const unblockOnline = (lab: Lab) => unblock(lab.online);

const MISTAKES: Mistake[] = [
  {
    name: "no intercept",
    intercept: null,
    cause: /intercept at "10.0.0.2:36524": connection refused/,
    fix: /^Start it there \("xcopy intercept -o :8080"\)/,
    mended: { intercept: ["-o", ":8080"] },
  },
  {
    name: "an intercept for another port",
    intercept: ["-o", ":9090"],
    cause: /none of the intercepts catches its responses \(10\.0\.0\.2 catches port 9090\)/,
    fix: /^Start the intercept there with -o :8080/,
    mended: { intercept: ["-o", ":8080", "-o", ":9090"] },
  },
  {
    name: "a firewall between copy and intercept",
    make: (lab) => block(lab.target, "input", "tcp dport 36524 drop"),
    cause: /intercept at "10.0.0.2:36524": no response/,
    fix: /check the firewalls on the way/,
    mend: unblockTarget,
  },
  {
    name: "no way back",
    make: (lab) => ip("-n", lab.target, "route", "del", "default"),
    cause: /the attempt arrived, but the target has no way back to 192\.0\.2\.1 \(network is unreachable\)/,
    fix: /^Give it a route there/,
    mend: (lab) => ip("-n", lab.target, "route", "add", "default", "via", "10.0.0.1"),
  },
  {
    name: "a tried address on the target's own network that nobody has",
    copy: ["--probe-from", "10.0.0.77"],
    cause:
      /from 10\.0\.0\.77 arrived, but .*: 10\.0\.0\.77 is on the target's own network, net0, and does not answer ARP$/,
    fix: /^Name an address .* with --probe-from, or .*: ip neighbour replace 10\.0\.0\.77 lladdr \S+ dev net0, or start/,
    mend: (lab) =>
      ip("-n", lab.target, "neighbour", "replace", "10.0.0.77", "lladdr", "02:00:00:00:00:01", "dev", "net0"),
  },
  {
    name: "rp_filter=1 and another way back",
    make: (lab) => routeElsewhere(lab, "192.0.2.0/24"),
    cause:
      /arrived and was not answered, though an ordinary connection.*its way back, other \(rp_filter=1 on .*net0/,
    fix: /^Allow it on the target: sysctl -w net\.ipv4\.conf\.all\.rp_filter=2$/,
    mend: (lab) => setFilter(lab.target, 2),
  },
  {
    name: "rp_filter=1 and another way back to the clients",
    copy: ["--probe-from", "10.1.0.2"],
    make: (lab) => routeElsewhere(lab, "10.1.0.0/24"),
    cause: /from 10\.1\.0\.2 arrived .*rp_filter=1/,
    fix: /rp_filter=2$/,
    mend: (lab) => setFilter(lab.target, 2),
  },
  {
    name: "a firewall on the way",
    make: (lab) => block(lab.online, "egress device back", "tcp dport 8080 drop"),
    cause: /did not see it arrive; an ordinary connection from this host is not answered either/,
    fix: /^Let port 8080 of 10\.0\.0\.2 through in the firewalls between the two hosts/,
    mend: unblockOnline,
  },
  {
    name: "a check of source addresses on the way",
    make: (lab) => block(lab.online, "egress device back", "ip saddr 192.0.2.0/24 drop"),
    cause: /did not see it arrive, though .*something on the way drops foreign source addresses/,
    fix: /^Turn source address checks off/,
    mend: unblockOnline,
  },
  {
    name: "a firewall on the target",
    make: (lab) => block(lab.target, "input", "tcp dport 8080 drop"),
    cause: /arrived and was not answered, and neither is an ordinary connection/,
    fix: /^Let port 8080 through in the target's own firewall, for everybody/,
    mend: unblockTarget,
  },
  {
    name: "a firewall on the target that knows its clients",
    make: (lab) => block(lab.target, "input", "tcp dport 8080 ip saddr != 10.0.0.0/24 drop"),
    cause: /arrived and was not answered, though an ordinary connection/,
    fix: /firewall, for 192\.0\.2\.1 and the clients' addresses/,
    mend: unblockTarget,
  },
  {
    name: "no service",
    idle: true,
    cause: /^Cannot reach target "10\.0\.0\.2:8080": connection refused/,
    fix: /^Start the service there/,
    mend: serve,
  },
  {
    name: "no route by the assistant",
    assistant: true,
    make: (lab) => ip("-n", lab.target, "route", "del", "192.0.2.0/24"),
    cause:
      /no response to 192\.0\.2\.1 reached the intercept at 10\.4\.0\.2, though the target answers an ordinary connection/,
    fix: /route the clients' addresses through the intercept's host \("ip route add 192\.0\.2\.1 via/,
    mend: (lab) => ip("-n", lab.target, "route", "add", "192.0.2.1", "via", "10.3.0.2"),
  },
  {
    name: "rp_filter=1 before an assistant",
    assistant: true,
    make: (lab) => setFilter(lab.target, 1),
    cause: /though the target answers an ordinary connection/,
    fix: /sysctl -w net\.ipv4\.conf\.all\.rp_filter=2/,
    mend: (lab) => setFilter(lab.target, 2),
  },
  {
    name: "a firewall before an assistant",
    assistant: true,
    make: (lab) => block(lab.target, "input", "tcp dport 8080 drop"),
    cause: /an ordinary connection from this host is not answered either/,
    fix: /let port 8080 through in the target's firewall/,
    mend: unblockTarget,
  },
  {
    name: "another key",
    intercept: ["-o", ":8080", "--key-file", "one"],
    copy: ["--key-file", "other"],
    cause: /the copy and the intercept have different keys/,
    fix: /^Give both the same key/,
    mended: { copy: ["--key-file", "one"] },
  },
  {
    name: "a key here only",
    intercept: ["-o", ":8080", "--insecure"],
    copy: ["--key-file", "one"],
    cause: /the copy has a key, the intercept has none/,
    fix: /^Give the intercept this side's key.* in place of --insecure/,
    mended: { copy: ["--insecure"] },
  },
  {
    name: "a key there only",
    intercept: ["-o", ":8080", "--key-file", "one"],
    copy: ["--insecure"],
    cause: /the intercept has a key, the copy has none/,
    fix: /^Give this side the intercept's key/,
    mended: { copy: ["--key-file", "one"] },
  },
  {
    name: "--compat here only",
    copy: ["--compat"],
    cause: /an intercept of xcopy needs --compat too/,
    fix: /^Give --compat to both or to neither/,
    mended: { copy: [] },
  },
];

/** Names of keys become their files. */
function withKeys(lab: Lab, args: string[]): string[] {
  return args.map((word) => {
    const key = KEYS[word as keyof typeof KEYS];
    const file = join(lab.directory, word);
    if (key) writeFileSync(file, key, { mode: 0o600 });
    return key ? file : word;
  });
}

async function checkMistake(lab: Lab, mistake: Mistake): Promise<void> {
  const {
    intercept = mistake.assistant ? ["-o", "10.0.0.2:8080"] : ["-o", ":8080"],
    copy = [],
    mended = {},
  } = mistake;
  const host = mistake.assistant ? createThird(lab) : lab.target;
  await startNginx(lab, lab.online, 80);
  if (!mistake.idle) await serve(lab);
  let catching = intercept && (await startIntercept(lab, host, withKeys(lab, intercept)));
  mistake.make?.(lab);
  const base = ["-x", `80-${TARGET}:8080`, "-s", mistake.assistant ? THIRD : TARGET];

  const wrong = launchCopy(lab, [...base, ...withKeys(lab, copy)]).running;
  expect(await wrong.exited).toBe(3);
  const [cause, fix, pointer] = wrong.errors.slice(-3);
  expect(cause).toMatch(mistake.cause);
  expect(fix).toMatch(mistake.fix);
  expect(pointer).toMatch(/^"xcopy doctor -x 80-10\.0\.0\.2:8080 .*" looks at everything on the way$/);
  const isRefused = intercept && /key|compat/.test(mistake.name);
  if (isRefused)
    expect(catching!.running.errors.join("\n")).toMatch(/refused 10\.0\.0\.1:\d+: (.* key|.*--compat)/);

  await mistake.mend?.(lab);
  if (mended.intercept) {
    await catching?.stop();
    catching = await startIntercept(lab, host, mended.intercept);
  }
  const right = launchCopy(lab, [...base, ...withKeys(lab, mended.copy ?? copy)]).running;
  await right.line(/^copying /);
  expect(await right.stop()).toBe(0);
}

/** A test in a lab of its own, beside others: most of it is waiting for answers that do not come. */
function testInLab(name: string, check: (lab: Lab) => Promise<void>): void {
  test.concurrent(name, async () => {
    const lab = createLab({ manyClients: false });
    try {
      await check(lab);
    } finally {
      await lab.stopAll();
      lab.remove();
    }
  });
}

for (const mistake of MISTAKES) {
  testInLab(`${mistake.name}: said with a fix that works`, (lab) => checkMistake(lab, mistake));
}

for (const [name, args] of [
  ["", []],
  [", with addresses of -c too", ["-c", "10.1.0.50-10.1.0.52"]],
] as [string, string[]][]) {
  testInLab(
    `the mark of SYNs is lost on the way: each connection is announced instead${name}`,
    async (lab) => {
      await Promise.all([startNginx(lab, lab.online, 80), serve(lab)]);
      const catching = await startIntercept(lab, lab.target, ["-o", ":8080"]);
      block(lab.online, "egress device back", "tcp dport 8080 reset tcp option 253");
      const ghosts = countGhosts(lab.client, 8080);
      const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-s", TARGET, ...args]);
      expect(copy.running.errors.join("\n")).toMatch(/warning: The mark on SYNs .* is lost on the way/);
      await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500, close: true });
      const { report } = await copy.stop();
      expect(report.turns).toMatchObject({ captured: 500, answered: 500 });
      const { account } = await catching.stop();
      expect(account.flows.learned).toBe(0);
      expect(account.flows.registered).toBeGreaterThanOrEqual(500);
      expect(ghosts.count()).toBe(0);
    },
  );
}

testInLab("a wrong key again and again: the address is refused, and both sides say so", async (lab) => {
  const catching = await startIntercept(lab, lab.target, [
    "-o",
    ":8080",
    ...withKeys(lab, ["--key-file", "one"]),
  ]);
  const args = ["-x", `80-${TARGET}:8080`, "-s", TARGET];
  const said: string[] = [];
  // Ten failures: one for each start, or more where the machine is so busy that a start tries twice.
  while (said.length <= 10 && !/too many/.test(said.at(-1) ?? "")) {
    const wrong = launchCopy(lab, [...args, ...withKeys(lab, ["--key-file", "other"])]).running;
    expect(await wrong.exited).toBe(3);
    said.push(wrong.errors.at(-3)!);
  }
  expect(said.length).toBeGreaterThan(5);
  for (const line of said.slice(0, -1))
    expect(line).toMatch(/different keys \(compare the fingerprints that both print\)$/);
  expect(said.at(-1)).toMatch(/too many handshakes failed from this address/);
  const right = launchCopy(lab, [...args, ...withKeys(lab, ["--key-file", "one"])]).running;
  expect(await right.exited).toBe(3);
  expect(right.errors.at(-3)).toMatch(/too many handshakes failed from this address/);
  expect(right.errors.at(-2)).toMatch(/^Wait a minute/);
  await catching.running.line(/refused 10\.0\.0\.1:\d+: too many handshakes failed/);
});

testInLab("--force without an intercept: what is held, and until when, is said", async (lab) => {
  await startNginx(lab, lab.online, 80);
  const to = await serve(lab);
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-s", TARGET, "--force", "--drain", "10"]);
  await copy.running.line(
    /^warning: intercept 10\.0\.0\.2: not connected \(connection refused\); nothing .* is sent/,
  );
  await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 200, connections: 20 });
  expect(await readRequests(to)).toEqual([]);

  const wrong = await startIntercept(lab, lab.target, ["-o", ":9090"]);
  await copy.running.line(
    /^warning: no intercept catches the responses of 10\.0\.0\.2:8080; nothing is sent there/,
  );
  await wrong.stop();
  expect(await readRequests(to)).toEqual([]);

  await startIntercept(lab, lab.target, ["-o", ":8080"]);
  await copy.report("the responses", ({ turns }) => turns.answered === 200);
  expect((await readRequests(to)).length).toBe(200);
  expect(await copy.running.stop()).toBe(0);
});
