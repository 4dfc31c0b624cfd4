/** Responses of a real nginx, caught from a netfilter queue: what clients receive, and what is left after the end. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addAddress, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { type Running, run } from "../support/process.ts";
import { until } from "../support/until.ts";
import type { AgentAccount, AgentOptions } from "./nfqueue-agent.ts";

const PORT = 8080;
const QUEUE = 7;
const SERVICES: AgentOptions["services"] = [{ address: null, ports: [PORT, PORT] }];
const MAIN = join(import.meta.dir, "../../src/main.ts");

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
  for (const host of [3, 4]) {
    addAddress(lab.client, "net0", `10.1.0.${host}/24`);
    addAddress(lab.client, "net0", `fd00:1::${host}/64`);
  }
  run(lab.client, "ip", "-6", "route", "add", "default", "via", "fd00:1::1");
  run(lab.online, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1");
});
afterEach(async () => {
  await lab.stopAll();
  for (const count of counts.splice(0)) count.remove();
});
afterAll(() => lab?.remove());

const counts: { remove(): void }[] = [];

/**
 * Counts the responses on a namespace's net0 that match, from now on: `ingress` as they arrive at the client, `egress` as
 * they leave the target, behind every rule. One count for a namespace and a test.
 */
function countResponses(namespace: string, hook: "ingress" | "egress", match = ""): () => number {
  const rule = `${match} tcp sport ${PORT} counter`;
  const chain = `chain count { type filter hook ${hook} device net0 priority 0; ${rule}; }`;
  run(namespace, "nft", `table netdev count { ${chain}; }`);
  counts.push({ remove: () => void run(namespace, "nft", "delete", "table", "netdev", "count") });
  return () =>
    Number(/counter packets (\d+)/.exec(run(namespace, "nft", "list", "table", "netdev", "count"))![1]);
}

interface Agent extends Running {
  accounts(): AgentAccount[];
  /** Resolves with the first account that fulfils the condition. */
  account(condition: (account: AgentAccount) => boolean): Promise<AgentAccount>;
  /** Ends it and returns the last account. */
  finish(): Promise<AgentAccount>;
}

async function startAgent(options: Partial<AgentOptions> = {}, namespace = lab.target): Promise<Agent> {
  const words = JSON.stringify({ queue: QUEUE, services: SERVICES, ...options });
  const agent = lab.start(namespace, [process.execPath, join(import.meta.dir, "nfqueue-agent.ts"), words]);
  await agent.line(/^ready /);
  const accounts = () => agent.output.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return {
    ...agent,
    accounts,
    account: (condition) =>
      until(
        () => `the account is as expected; the last was ${JSON.stringify(accounts().at(-1))}`,
        () => accounts().find(condition),
      ),
    async finish() {
      expect(await agent.stop()).toBe(0);
      return accounts().at(-1)!;
    },
  };
}

/** A request from one of the client's addresses. */
function request(from: string, path = "/"): Running {
  const host = from.includes(":") ? `[${TARGET6}]` : TARGET;
  const options = ["-sS", "-w", "%{http_code}\\n", "-o", "/dev/null", "--interface", from];
  return lab.start(lab.client, ["curl", ...options, `http://${host}:${PORT}${path}`]);
}

async function expectAnswer(from: string, path?: string): Promise<void> {
  const client = request(from, path);
  expect({ code: await client.exited, output: client.output, errors: client.errors }).toEqual({
    code: 0,
    output: ["200"],
    errors: [],
  });
}

/** Bytes of each packet that the reader of the queue gets. */
function copyRange(): number {
  return Number(run(lab.target, "cat", "/proc/net/netfilter/nfnetlink_queue").trim().split(/\s+/)[4]);
}

/** The rules of all tools; none if nothing is left. */
function rulesIn(namespace: string): string[] {
  return ["iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save"]
    .flatMap((command) => run(namespace, command).split("\n"))
    .concat(run(namespace, "nft", "list", "tables").split("\n"))
    .filter((line) => line.includes("xcopy"));
}

function cleanup(): string {
  return run(lab.target, process.execPath, MAIN, "cleanup");
}

describe.each([
  [4, "10.1.0.2", "10.1.0.3", "10.1.0.4"],
  [6, "fd00:1::2", "fd00:1::3", "fd00:1::4"],
])("IPv%i", (_, other, caught, passed) => {
  test("responses to a chosen client never reach it, others do, those of the pass list unseen", async () => {
    await startNginx(lab, lab.target, PORT);
    const agent = await startAgent({ clients: [caught, passed], pass: [passed] });
    const address = `${caught.includes(":") ? "ip6" : "ip"} daddr`;
    const leaked = countResponses(lab.client, "ingress", `${address} ${caught}`);
    const left = countResponses(lab.target, "egress", `${address} ${other}`);
    const client = request(caught);
    // The SYN-ACK and its first repetition.
    await agent.account((account) => account.caught >= 2);
    await expectAnswer(other);
    await agent.account((account) => account.packets > account.caught);
    await expectAnswer(passed);
    expect(client.ended()).toBe(false);
    await client.stop();
    const account = await agent.finish();
    expect(leaked()).toBe(0);
    // All that the queue got went to these two: nothing to the one of the pass list.
    expect(left()).toBe(account.packets - account.caught);
    expect(account).toMatchObject({ unreadable: 0, overruns: 0, refused: 0, full: 0, lost: 0 });
    expect(rulesIn(lab.target)).toEqual([]);
    expect(existsSync(`/run/xcopy/rules-${agent.pid}.json`)).toBe(false);
  });

  test("large packets come whole, with their length on the wire", async () => {
    const nginx = await startNginx(lab, lab.target, PORT, {
      server: `location /big { alias ${lab.directory}/; }`,
    });
    writeFileSync(join(lab.directory, "megabyte"), new Uint8Array(1 << 20));
    const agent = await startAgent({ clients: [] });
    await expectAnswer(other, "/big/megabyte");
    expect(nginx.ended()).toBe(false);
    const account = await agent.account(({ bytes }) => bytes > 1 << 20);
    await agent.finish();
    expect(account).toMatchObject({ caught: 0, unreadable: 0, refused: 0, full: 0, lost: 0 });
    // Payload once, and a header of HTTP: no packet was lost or counted twice. Far fewer packets than segments.
    expect(account.bytes - (1 << 20)).toBeLessThan(1000);
    expect(account.largest).toBeGreaterThan(10_000);
    expect(account.packets).toBeLessThan((1 << 20) / 1448);
    expect(account.captured).toBe(192);
  });

  test("and with their payload while it is read", async () => {
    writeFileSync(join(lab.directory, "megabyte"), new Uint8Array(1 << 20));
    await startNginx(lab, lab.target, PORT, { server: `location /big { alias ${lab.directory}/; }` });
    const agent = await startAgent({ clients: [], isRead: true });
    expect(copyRange()).toBe(65531);
    await expectAnswer(other, "/big/megabyte");
    const account = await agent.account(({ bytes }) => bytes > 1 << 20);
    expect(account).toMatchObject({ caught: 0, cut: 0, unreadable: 0, refused: 0, full: 0, lost: 0 });
    expect(account.captured).toBeGreaterThan(10_000);
    expect(account.bytes - (1 << 20)).toBeLessThan(1000);
    process.kill(agent.pid, "SIGUSR1");
    await agent.line(/^headers/);
    expect(copyRange()).toBe(192);
    await expectAnswer(other, "/big/megabyte");
    expect((await agent.account(({ bytes }) => bytes > 2 << 20)).cut).toBeGreaterThan(0);
    expect((await agent.finish()).refused).toBe(0);
  });

  test("20,000 responses to forged SYNs are caught, none is lost", async () => {
    await startNginx(lab, lab.target, PORT);
    // SYN cookies answer each SYN once: no backlog, no repetition.
    run(lab.target, "sysctl", "-qw", "net.ipv4.tcp_syncookies=2");
    const agent = await startAgent();
    const target = other.includes(":") ? TARGET6 : TARGET;
    const left = countResponses(lab.target, "egress");
    const syns = join(import.meta.dir, "nfqueue-syns.ts");
    run(lab.client, process.execPath, syns, target, `${PORT}`, "20000", "10000");
    await agent.account((account) => account.caught >= 20_000);
    const account = await agent.finish();
    expect(account).toMatchObject({ packets: 20_000, caught: 20_000, synAcks: 20_000, full: 0, lost: 0 });
    expect(left()).toBe(0);
  });
});

test("after kill -9 responses pass; cleanup removes the rule of the killed process, not that of a running one", async () => {
  await startNginx(lab, lab.target, PORT);
  const killed = await startAgent();
  const client = request("10.1.0.3");
  await killed.account((account) => account.caught >= 1);
  await client.stop();
  await killed.stop("SIGKILL");
  expect(rulesIn(lab.target)).not.toEqual([]);
  await expectAnswer("10.1.0.3");
  await expectAnswer("fd00:1::3");
  const tool = killed.output[0]!.split(" ")[1];
  expect(cleanup()).toContain(`removed rule "xcopy-${killed.pid}-${QUEUE}" of ${tool}\n`);
  expect(rulesIn(lab.target)).toEqual([]);
  const running = await startAgent();
  expect(cleanup()).not.toContain("rule");
  expect(rulesIn(lab.target)).not.toEqual([]);
  await running.finish();
});

test("the next start removes the rule of a killed one, on the same queue as well", async () => {
  await startNginx(lab, lab.target, PORT);
  const killed = await startAgent();
  await killed.stop("SIGKILL");
  const agent = await startAgent({ clients: ["10.1.0.3"] });
  expect(rulesIn(lab.target).filter((rule) => rule.includes(`-${killed.pid}-`))).toEqual([]);
  await expectAnswer("10.1.0.4");
  await agent.finish();
  expect(rulesIn(lab.target)).toEqual([]);
});

test("responses of a service behind this host are caught as they are forwarded", async () => {
  await startNginx(lab, lab.target, PORT);
  const services = [
    { address: TARGET, ports: [PORT - 1, PORT + 1] as [number, number] },
    { address: TARGET6, ports: [PORT, PORT] as [number, number] },
  ];
  const agent = await startAgent({ services, clients: ["10.1.0.3", "fd00:1::3"] }, lab.online);
  for (const from of ["10.1.0.3", "fd00:1::3"]) {
    const before = agent.accounts().at(-1)?.caught ?? 0;
    const client = request(from);
    await agent.account((account) => account.caught > before);
    expect(client.ended()).toBe(false);
    await client.stop();
  }
  await expectAnswer("10.1.0.4");
  await agent.finish();
  expect(rulesIn(lab.online)).toEqual([]);
});

test("a service without an address is this host's only", async () => {
  await startNginx(lab, lab.target, PORT);
  const agent = await startAgent({}, lab.online);
  await expectAnswer("10.1.0.3");
  expect((await agent.finish()).packets).toBe(0);
});

test("a stalled reader: the queue fills, further responses are dropped and counted", async () => {
  await startNginx(lab, lab.target, PORT);
  run(lab.target, "sysctl", "-qw", "net.ipv4.tcp_syncookies=2");
  const agent = await startAgent({ length: 100 });
  const left = countResponses(lab.target, "egress");
  process.kill(agent.pid, "SIGSTOP");
  const syns = join(import.meta.dir, "nfqueue-syns.ts");
  run(lab.client, process.execPath, syns, TARGET, `${PORT}`, "300", "3000");
  process.kill(agent.pid, "SIGCONT");
  const account = await agent.account(({ caught, full }) => caught + full >= 300);
  await agent.finish();
  expect(account).toMatchObject({ caught: 100, full: 200, lost: 0, overruns: 0 });
  expect(left()).toBe(0);
});

test("verdicts that alternate within a batch each apply to their packet", async () => {
  await startNginx(lab, lab.target, PORT);
  run(lab.target, "sysctl", "-qw", "net.ipv4.tcp_syncookies=2");
  // The SYNs come from 10.9.0.1 to .250 in turn: runs of one, and at multiples of ten runs of nine.
  const hosts = Array.from({ length: 250 }, (_, index) => index + 1);
  const isCaught = (host: number) => host % 2 === 1 || (host > 100 && host % 10 !== 0);
  const clients = hosts.filter(isCaught).map((host) => `10.9.0.${host}`);
  const agent = await startAgent({ clients });
  const expected = hosts.filter((host) => !isCaught(host));
  const left = countResponses(lab.target, "egress");
  // With its usual length of a packet tcpdump has room for eight at a time.
  const options = ["-i", "net0", "-nn", "-l", "-s", "128", "-B", "4096", "--immediate-mode"];
  const watch = ["tcpdump", ...options, "-c", `${expected.length}`];
  const seen = lab.start(lab.target, [...watch, `src port ${PORT}`]);
  await seen.line(/^listening on/);
  process.kill(agent.pid, "SIGSTOP");
  const syns = join(import.meta.dir, "nfqueue-syns.ts");
  run(lab.client, process.execPath, syns, TARGET, `${PORT}`, "250", "3000");
  process.kill(agent.pid, "SIGCONT");
  await agent.account(({ packets }) => packets >= 250);
  await agent.finish();
  expect(await seen.exited).toBe(0);
  const passed = seen.output.map((line) => Number(/> 10\.9\.0\.(\d+)\./.exec(line)![1]));
  expect(passed).toEqual(expected);
  expect(left()).toBe(expected.length);
});

test("a full receive buffer is counted: ENOBUFS, and each packet lost by it", async () => {
  await startNginx(lab, lab.target, PORT);
  run(lab.target, "sysctl", "-qw", "net.ipv4.tcp_syncookies=2");
  const agent = await startAgent({ receiveBuffer: 20_000 });
  process.kill(agent.pid, "SIGSTOP");
  const syns = join(import.meta.dir, "nfqueue-syns.ts");
  run(lab.client, process.execPath, syns, TARGET, `${PORT}`, "300", "3000");
  process.kill(agent.pid, "SIGCONT");
  const account = await agent.account(({ caught, lost }) => caught + lost >= 300);
  await agent.finish();
  expect(account.lost).toBeGreaterThan(0);
  expect(account.overruns).toBeGreaterThan(0);
  expect(account.caught + account.lost).toBe(300);
});

describe("Failures", () => {
  function launch(...before: string[]): Running {
    const words = JSON.stringify({ queue: QUEUE, services: SERVICES } satisfies AgentOptions);
    const agent = [process.execPath, join(import.meta.dir, "nfqueue-agent.ts"), words];
    return lab.start(lab.target, [...before, ...agent]);
  }

  test("a queue that is read already: who reads it", async () => {
    const holder = await startAgent();
    const agent = launch();
    expect(await agent.exited).toBe(3);
    expect(agent.errors[0]).toMatch(
      new RegExp(`^Cannot read netfilter queue "7": "\\S+" with process id ${holder.pid} reads it$`),
    );
    await holder.finish();
  });

  test("not allowed to read a queue", async () => {
    const agent = launch("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin");
    expect(await agent.exited).toBe(4);
    expect(agent.errors[0]).toBe('Cannot read netfilter queue "7": not allowed');
  });

  test("a kernel whose rules cannot queue: what each tool said, and nothing is left", async () => {
    const bin = join(lab.directory, "bin");
    mkdirSync(bin);
    const stub = (name: string, says: string) => {
      writeFileSync(join(bin, name), `#!/bin/sh\necho '${says}' >&2\nexit 1\n`, { mode: 0o755 });
    };
    stub("nft", "/dev/stdin:5:3-9: Error: Could not process rule: No such file or directory");
    stub("iptables", "iptables: No chain/target/match by that name.");
    stub("ip6tables", "ip6tables: No chain/target/match by that name.");
    stub("iptables-restore", "Warning: Extension NFQUEUE revision 0 not supported, missing kernel module?");
    const hide = `PATH=${bin}:$PATH && mount -t tmpfs none /usr/sbin && exec "$@"`;
    const agent = launch("unshare", "-m", "sh", "-c", hide, "sh");
    expect(await agent.exited).toBe(5);
    expect(agent.errors[0]).toBe(
      "Cannot make the rule that queues responses: nft: Could not process rule: No such file or directory; " +
        "iptables: Warning: Extension NFQUEUE revision 0 not supported, missing kernel module?",
    );
    expect(existsSync(`/run/xcopy/rules-${agent.pid}.json`)).toBe(false);
  });

  test("neither nft nor iptables", async () => {
    const hide = 'mount -t tmpfs none /usr/sbin && exec "$@"';
    const agent = launch("unshare", "-m", "sh", "-c", hide, "sh");
    expect(await agent.exited).toBe(5);
    expect(agent.errors[0]).toBe(
      "Cannot make the rule that queues responses: neither nft nor iptables is there",
    );
  });
});
