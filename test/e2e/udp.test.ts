/** UDP to UDP, with real DNS servers: the target gets every question of online once, and no client notices. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Account } from "../../src/copy/account/account.ts";
import { addAddress, ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { readReport } from "../../src/report/read.ts";
import { watchPackets } from "../support/capture.ts";
import { startIntercept } from "../support/intercept.ts";
import { KEY } from "../support/key.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { MEMCACHED_PORT, memcachedStatistics, startMemcached } from "../support/memcached.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { ask, signZone, startUnbound } from "../support/unbound.ts";
import { until } from "../support/until.ts";
import { datagramFaultsOf, runXcopy, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** What must not be seen: the target's packets at the client, errors of anybody, and what leaves online unasked. */
async function watchStrays() {
  const client = await watchPackets(
    lab,
    lab.client,
    "net0",
    `src host ${TARGET} or src host ${TARGET6} or icmp or icmp6[0] = 1 or icmp6[0] = 3`,
  );
  const online = await watchPackets(lab, lab.online, "back", "icmp or icmp6[0] = 1 or icmp6[0] = 3");
  return async () => ({ client: await client.stop(), online: await online.stop() });
}

/** Online's address towards the target. */
const ONLINE_BACK = "10.0.0.1";
const NONE = { packets: 0, lines: [] };

test("copies DNS over IPv4 and IPv6 beside TCP, each question once, and compares the responses", async () => {
  const online = await startUnbound(lab, lab.online, 53);
  // It does not know the last host, host49.example.
  const target = await startUnbound(lab, lab.target, 5353, { hosts: 49 });
  const comparison = join(lab.directory, "dns.json");
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, [
    "-x",
    `udp:53-${TARGET}:5353`,
    "-x",
    `udp:[${ONLINE6}]:53-[${TARGET6}]:5353,tcp:80-${TARGET}:8080`,
    ...["--compare", "--report", comparison],
  ]);
  const strays = await watchStrays();

  expect(await ask(lab, ONLINE, 20_000, 10_000)).toBe(20_000);
  expect(await ask(lab, ONLINE6, 2000, 4000)).toBe(2000);
  // An answer of some 4,000 bytes.
  run(lab.client, "dig", `@${ONLINE}`, "+bufsize=4096", "+ignore", "+dnssec", "large.example", "TXT");
  for (let i = 0; i < 5; i++) run(lab.client, "curl", "-s", `http://${ONLINE}/${i}`);
  const asked = 22_001;
  await copy.report(
    "all answered",
    ({ udp, turns }) => udp!.datagrams.answered === asked && turns.answered === 5,
  );
  const { code, report } = await copy.stop();

  expect(await strays()).toEqual({ client: NONE, online: NONE });
  const questions = online.questions();
  expect(questions.length).toBe(asked);
  expect(target.questions().toSorted()).toEqual(questions.toSorted());
  expect(report.udp!.datagrams).toEqual({
    captured: asked,
    sent: asked,
    answered: asked,
    unanswered: 0,
    waiting: 0,
    dropped: 0,
  });
  expect(report.turns).toMatchObject({ captured: 5, answered: 5 });
  const { endpoints, outcomes } = readReport(readFileSync(comparison, "utf8"), comparison);
  expect(outcomes).toEqual({ compared: asked + 5 });
  const different = endpoints.filter(({ protocol, different }) => protocol === "dns" && different > 0);
  expect(different.map(({ method, name, count }) => `${method} ${name} ${count}`).toSorted()).toEqual([
    "A host49.example 40",
    "A host49.example 400",
  ]);
  for (const { statuses, count } of different)
    expect(statuses).toEqual([{ production: 0, target: 3, count }]);
  expect(endpoints.find(({ method }) => method === "TXT")).toMatchObject({ count: 1, different: 0 });
  expect(datagramFaultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});

test("copies questions whose responses are signed, and larger than a packet", async () => {
  const zone = signZone(lab);
  const online = await startUnbound(lab, lab.online, 53, { zone });
  const target = await startUnbound(lab, lab.target, 5353, { zone });
  const copy = await startCopy(lab, ["-x", `udp:53-${TARGET}:5353,udp:[${ONLINE6}]:53-[${TARGET6}]:5353`]);
  const strays = await watchStrays();
  for (const server of [ONLINE, ONLINE6]) {
    for (const type of ["A", "DNSKEY"]) {
      const name = type === "A" ? "host3.signed" : "signed";
      const answer = run(lab.client, "dig", `@${server}`, name, type, "+dnssec", "+bufsize=4096", "+ignore");
      expect(answer).toContain("RRSIG");
      const size = Number(/MSG SIZE +rcvd: (\d+)/.exec(answer)![1]);
      if (type === "DNSKEY") expect(size).toBeGreaterThan(1500);
    }
  }
  await copy.report("all answered", ({ udp }) => udp!.datagrams.answered === 4);
  const { report } = await copy.stop();
  expect(await strays()).toEqual({ client: NONE, online: NONE });
  expect(online.questions()).toEqual([
    "host3.signed A IPv4",
    "signed DNSKEY IPv4",
    "host3.signed A IPv6",
    "signed DNSKEY IPv6",
  ]);
  expect(target.questions()).toEqual(online.questions());
  expect(report.udp!.datagrams).toMatchObject({ captured: 4, sent: 4, answered: 4, dropped: 0 });
  expect(datagramFaultsOf(copy.reports())).toEqual([]);
});

const support = (name: string) => join(import.meta.dir, `../support/${name}.ts`);

/** An echo server on both hosts; what each got: length and digest of the datagrams. */
async function startEchoes(port: number, namespaces = [lab.online, lab.target]) {
  const servers = namespaces.map((namespace) =>
    lab.start(namespace, [process.execPath, support("datagram-echo"), "::", `${port}`]),
  );
  for (const server of servers) await server.line(/^ready$/);
  const [online, target] = servers.map(({ output }) => () => {
    const lines = output.filter((line) => line !== "ready");
    return lines.map((line) => line.split(" ").slice(0, 2).join(" "));
  });
  return { online: online!, target: target! };
}

/** Those in one list follow each other closely: more of the large ones would not fit into the buffer of the target's socket. */
const SIZES = [[0, 1, 1472, 1473, 3000], [60_000], [65_000]];

async function echo(server: string, port: number, sizes: readonly number[]): Promise<string[]> {
  const client = lab.start(lab.client, [
    process.execPath,
    support("datagram-client"),
    server,
    `${port}`,
    ...sizes.map(String),
  ]);
  expect(await client.exited).toBe(0);
  return client.output;
}

test.each(["tcx", "packet", "raw", "pcap", "xdp"])(
  "copies datagrams of up to 65,000 bytes in fragments, and takes their responses: capture by %s",
  async (capture) => {
    const { online, target } = await startEchoes(7000);
    const transfers = `udp:7000-${TARGET},udp:[${ONLINE6}]:7000-[${TARGET6}]`;
    const copy = await startCopy(lab, ["-x", transfers, "--capture", capture]);
    const strays = await watchStrays();

    const echoes: string[] = [];
    for (const server of [ONLINE, ONLINE6]) {
      for (const sizes of SIZES) {
        echoes.push(...(await echo(server, 7000, sizes)));
        const isAnswered = ({ udp }: Account) => udp!.datagrams.answered === echoes.length;
        await copy.report("all answered", isAnswered);
      }
    }
    const count = 2 * 7;
    const { report } = await copy.stop();

    expect(online()).toEqual(echoes);
    expect(target()).toEqual(echoes);
    expect(await strays()).toEqual({ client: NONE, online: NONE });
    expect(report.udp!.datagrams).toMatchObject({ captured: count, sent: count, answered: count });
    expect(report.udp!.sent.fragmented).toBe(9);
    expect(report.udp!.fragments).toMatchObject({ incomplete: 0, overlapping: 0 });
    expect(datagramFaultsOf(copy.reports())).toEqual([]);
  },
);

test("an interface whose MTU shrinks gets smaller fragments", async () => {
  const own = createLab({ manyClients: false });
  try {
    const servers = [own.online, own.target].map((namespace) =>
      own.start(namespace, [process.execPath, support("datagram-echo"), "::", "7000"]),
    );
    for (const server of servers) await server.line(/^ready$/);
    const copy = await startCopy(own, ["-x", `udp:7000-${TARGET}`]);
    const send = async (count: number) => {
      const words = [support("datagram-client"), ONLINE, "7000", ...Array(count).fill("1400")];
      expect(await own.start(own.client, [process.execPath, ...words]).exited).toBe(0);
    };
    await send(1);
    await copy.report("answered", ({ udp }) => udp!.datagrams.answered === 1);
    for (const [namespace, device] of [
      [own.target, "net0"],
      [own.online, "back"],
    ] as const)
      run(own.client, "ip", "-n", namespace, "link", "set", device, "mtu", "1000");
    // Where the first one is faster than the news of the MTU it is refused; what comes after it is not.
    await send(1);
    await copy.report("taken", ({ udp }) => udp!.datagrams.answered + udp!.sent.errors === 2);
    await send(3);
    await copy.report("answered again", ({ udp }) => udp!.datagrams.answered + udp!.sent.errors === 5);
    expect(copy.reports().at(-1)!.udp!.datagrams.answered).toBeGreaterThanOrEqual(4);
  } finally {
    await own.stopAll();
    own.remove();
  }
});

test("several datagrams that come as one packet are copied as many", async () => {
  const { online, target } = await startEchoes(7000);
  const copy = await startCopy(lab, ["-x", `udp:7000-${TARGET}`]);
  const words = [support("datagram-gso"), ONLINE, "7000", "10", "1000"];
  await lab.start(lab.client, [process.execPath, ...words]).line(/^sent$/);
  await copy.report("all answered", ({ udp }) => udp!.datagrams.answered === 10);
  const { report } = await copy.stop();
  await until("both have said all", () => online().length === 10 && target().length === 10);
  expect(target()).toEqual(online());
  // The packet was one: what is tested came to pass.
  expect(report.capture.packets).toBe(1);
  expect(report.udp!.datagrams).toMatchObject({ captured: 10, sent: 10 });
});

test("--no-fragment leaves out what is larger than a packet", async () => {
  const { online, target } = await startEchoes(7000);
  const copy = await startCopy(lab, ["-x", `udp:7000-${TARGET}`, "--no-fragment"]);
  await echo(ONLINE, 7000, [1472, 1473, 60_000, 10]);
  const { report } = await copy.stop();
  expect(target()).toEqual(online().filter((line) => /^(10|1472) /.test(line)));
  expect(report.udp!.datagrams).toMatchObject({ captured: 4, sent: 2, dropped: 2 });
  expect(report.udp!.dropped.oversize).toBe(2);
});

test("replays fragments that are out of order, without datagrams that lack a fragment", async () => {
  const { online, target } = await startEchoes(7000);
  const file = join(lab.directory, "fragments.pcap");
  const tcpdump = lab.start(lab.client, [
    "tcpdump",
    "-i",
    "net0",
    "-w",
    file,
    "-U",
    "--immediate-mode",
    "-s",
    "2000",
    "udp and dst host 10.1.0.1",
  ]);
  await tcpdump.line(/^tcpdump: listening/);
  await echo(ONLINE, 7000, [100, 3000, 5000, 20_000]);
  // One packet, then 3, 4 and 14 fragments: of the third datagram one is lost, the others come the wrong way round.
  await until("tcpdump has written all", () => readPcap(file).length === 2 + 3 + 4 + 14);
  await tcpdump.stop("SIGINT");
  const records = readPcap(file);
  const [first, ...rest] = records.slice(1);
  const [second, third, fourth] = [rest.slice(0, 3), rest.slice(3, 7), rest.slice(7)];
  const kept = [first!, ...second.reverse(), ...third.toSpliced(1, 1), ...fourth.reverse()];
  writeFileSync(file, Buffer.concat([records[0]!, ...kept]));

  const copy = await startCopy(lab, ["-i", file, "-x", `udp:7000-${TARGET}`, "-a", "max", "-T", "2"]);
  await copy.running.exited;
  const report = copy.reports().at(-1)!;
  const expected = online().filter((line) => !line.startsWith("5000 "));
  await until("the target has said all", () => target().length >= 6);
  expect(target()).toEqual([...expected, ...expected]);
  expect(report.udp!.datagrams).toMatchObject({ captured: 6, sent: 6, answered: 6, dropped: 0 });
  expect(report.trace).toMatchObject({ fragments_incomplete: 2 });
});

test("-I shortens the pauses of a recording", async () => {
  const { online, target } = await startEchoes(7000);
  const file = join(lab.directory, "pause.pcap");
  const words = ["-i", "net0", "-w", file, "-U", "--immediate-mode", "udp and dst host 10.1.0.1"];
  const tcpdump = lab.start(lab.client, ["tcpdump", ...words]);
  await tcpdump.line(/^tcpdump: listening/);
  await echo(ONLINE, 7000, [10, 20]);
  await until("tcpdump has written all", () => readPcap(file).length === 1 + 2);
  await tcpdump.stop("SIGINT");
  const [head, first, second] = readPcap(file);
  // A day later.
  const later = Buffer.from(second!);
  later.writeUInt32LE(later.readUInt32LE(0) + 86_400, 0);
  writeFileSync(file, Buffer.concat([head!, first!, later]));

  const copy = await startCopy(lab, ["-i", file, "-x", `udp:7000-${TARGET}`, "-I", "100"]);
  expect(await copy.running.exited).toBe(0);
  await until("the target has said all", () => target().length >= 2);
  expect(target()).toEqual(online());
});

/** The header of a pcap file, then its records, each with its own header. */
function readPcap(file: string): Uint8Array[] {
  const bytes = readFileSync(file);
  const parts = [bytes.subarray(0, 24)];
  for (let at = 24; at + 16 <= bytes.length; ) {
    const size = 16 + bytes.readUInt32LE(at + 8);
    parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  return parts;
}

test("with an intercept on the target questions come from the clients' own addresses, and only the copy gets the responses", async () => {
  const online = await startUnbound(lab, lab.online, 53);
  const target = await startUnbound(lab, lab.target, 5353);
  await startIntercept(lab, lab.target, ["-o", ":5353", "-b", TARGET]);
  const transfers = `udp:53-${TARGET}:5353,udp:54-${TARGET}:5354`;
  const refused = await runXcopy(lab, ["copy", "-s", TARGET, "-x", transfers], ["env", `XCOPY_KEY=${KEY}`]);
  expect(refused).toMatchObject({ code: 3, output: "" });
  expect(refused.errors).toContain("none of the intercepts catches its responses");

  const copy = await startCopy(lab, ["-s", TARGET, "-x", `udp:53-${TARGET}:5353`]);
  const strays = await watchStrays();
  const answers = await watchPackets(
    lab,
    lab.target,
    "net0",
    `udp and src port 5353 and not dst host ${ONLINE_BACK}`,
  );
  expect(await ask(lab, ONLINE, 10_000, 5000)).toBe(10_000);
  // An answer of more than one packet is caught whole.
  run(lab.client, "dig", `@${ONLINE}`, "+bufsize=4096", "+ignore", "large.example", "TXT");
  // Everybody else goes on using the target.
  expect(run(lab.online, "dig", `@${TARGET}`, "-p", "5353", "+short", "host3.example").trim()).toBe(
    "10.9.0.3",
  );
  // Where the machine is busy the intercept may be silent for a moment, in which nothing is sent.
  const isAnswered = ({ udp }: Account) =>
    udp!.datagrams.captured === 10_001 && udp!.datagrams.answered === udp!.datagrams.sent;
  await copy.report("all answered", isAnswered);
  const { report } = await copy.stop();

  expect(await strays()).toEqual({ client: NONE, online: NONE });
  expect(await answers.stop()).toEqual(NONE);
  const { sent, dropped } = report.udp!.datagrams;
  expect(sent).toBeGreaterThan(9000);
  expect(dropped).toBe(report.udp!.dropped.held);
  expect(online.questions().length).toBe(10_001);
  // The one that was asked directly, too.
  expect(target.questions().length).toBe(sent + 1);
  expect(report.mode).toBe("target");
  expect(datagramFaultsOf(copy.reports())).toEqual([]);
});

test("a target without a service is counted, and no ICMP error reaches a client or this host", async () => {
  const { online } = await startEchoes(7000, [lab.online]);
  const copy = await startCopy(lab, [
    "-x",
    `udp:7000-${TARGET}:7999,udp:[${ONLINE6}]:7000-[${TARGET6}]:7999`,
  ]);
  const before = run(lab.online, "nstat", "-as", "IcmpInErrors", "Icmp6InDestUnreachs");
  await echo(ONLINE, 7000, [10]);
  await echo(ONLINE6, 7000, [10]);
  const direct = await copy.report("both refused", ({ udp }) => udp!.responses.refused === 2);
  expect(direct.udp!.datagrams).toMatchObject({ captured: 2, sent: 2, answered: 0 });
  await copy.stop();
  expect(online().length).toBe(2);
  expect(run(lab.online, "nstat", "-as", "IcmpInErrors", "Icmp6InDestUnreachs")).toBe(before);

  const intercept = await startIntercept(lab, lab.target, ["-o", ":7999", "-b", TARGET]);
  const forged = await startCopy(lab, ["-s", TARGET, "-x", `udp:7000-${TARGET}:7999`]);
  const strays = await watchStrays();
  await echo(ONLINE, 7000, [10]);
  await forged.report("it is sent", ({ udp }) => udp!.datagrams.captured === 1);
  await intercept.report("the error is caught", ({ responses }) => responses.icmp_errors === 1);
  expect(await strays()).toEqual({ client: NONE, online: NONE });
});

test("options work as for TCP, or a note says that they do not apply", async () => {
  const { online, target } = await startEchoes(443);
  const options = ["-n", "2", "-f", "1/4", "-c", "10.0.0.1", "-M", "1000", "-O", "-W", "--limit", "1000/s"];
  const copy = await startCopy(lab, ["-x", `udp:443-${TARGET}`, "-F", "udp and not src port 9", ...options]);
  await echo(ONLINE, 443, [10, 1400]);
  const answered = await copy.report("all answered", ({ udp }) => udp!.datagrams.answered === 4);
  expect(answered.udp!.sent).toMatchObject({ packets: 6, fragmented: 2 });
  expect(target().toSorted()).toEqual([...online(), ...online()].toSorted());
  const quic = lab.start(lab.client, [
    "bash",
    "-c",
    `printf '\\xc3\\x00\\x00\\x00\\x01\\x08\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x00\\x00' >/dev/udp/${ONLINE}/443`,
  ]);
  expect(await quic.exited).toBe(0);
  await copy.running.line(/QUIC packets were captured/);
  const { report } = await copy.stop();
  expect(report.copies).toBe(2);
  expect(report.udp!.quic).toBe(1);
  const said = copy.running.errors.filter((line) => /does not apply to UDP|QUIC/.test(line));
  expect(said.map((line) => /-O|-W|QUIC/.exec(line)![0])).toEqual(["-O", "-W", "QUIC"]);
  // The client's flow and that of bash, each twice.
  expect(report.udp!.flows.opened).toBe(4);
});

test.each(["tcx", "packet"])("2 workers copy each question once: capture by %s", async (capture) => {
  const addresses = Array.from({ length: 8 }, (_, index) => `10.1.0.${100 + index}`);
  for (const address of addresses) addAddress(lab.client, "net0", `${address}/24`);
  const online = await startUnbound(lab, lab.online, 53);
  const target = await startUnbound(lab, lab.target, 5353);
  const copy = await startCopy(lab, ["-x", `udp:53-${TARGET}:5353`, "--workers", "2", "--capture", capture]);
  for (const [index, address] of addresses.entries()) {
    for (const number of [index, index + 10])
      run(lab.client, "dig", "-b", address, `@${ONLINE}`, `host${number}.example`);
    run(lab.client, "ip", "address", "del", `${address}/24`, "dev", "net0");
  }
  await copy.report("all answered", ({ udp }) => udp!.datagrams.answered === 2 * addresses.length);
  const { report } = await copy.stop();
  expect(target.questions().toSorted()).toEqual(online.questions().toSorted());
  expect(report.udp!.flows.opened).toBe(2 * addresses.length);
  expect(datagramFaultsOf(copy.reports())).toEqual([]);
});

test("-r copies a share of the flows, all of each", async () => {
  const { online, target } = await startEchoes(7000);
  const copy = await startCopy(lab, ["-x", `udp:7000-${TARGET}`, "-r", "40"]);
  for (let i = 0; i < 12; i++) await echo(ONLINE, 7000, [100 + i, 200 + i]);
  const { report } = await copy.stop();
  expect(online().length).toBe(24);
  const { captured, answered } = report.udp!.datagrams;
  expect(captured + report.capture.unsampled).toBe(24);
  expect([answered, target().length]).toEqual([captured, captured]);
  expect(captured % 2).toBe(0);
  expect(captured).toBeLessThan(24);
});

test("-g begins with a few flows and ends with all of them", async () => {
  const online = await startUnbound(lab, lab.online, 53);
  const target = await startUnbound(lab, lab.target, 5353);
  const copy = await startCopy(lab, ["-x", `udp:53-${TARGET}:5353`, "-g", "2"]);
  expect(await ask(lab, ONLINE, 6000, 2000)).toBe(6000);
  const ramped = await copy.report(
    "all answered",
    ({ udp, capture }) =>
      udp!.datagrams.captured + capture.unsampled === 6000 && udp!.datagrams.answered === udp!.datagrams.sent,
  );
  expect(ramped.capture.unsampled).toBeGreaterThan(0);
  // From then on nothing is left out.
  expect(await ask(lab, ONLINE, 1000, 2000)).toBe(1000);
  const isAll = ({ udp }: Account) => udp!.datagrams.answered === ramped.udp!.datagrams.sent + 1000;
  await copy.report("all of the others answered", isAll);
  await copy.stop();
  expect(online.questions().length).toBe(7000);
  expect(target.questions().length).toBe(ramped.udp!.datagrams.sent + 1000);
});

test("copies memcached's UDP commands, and log lines that get no response", async () => {
  for (const namespace of [lab.online, lab.target]) {
    await startMemcached(lab, namespace, ["-U", `${MEMCACHED_PORT}`]);
    lab.start(namespace, [
      "socat",
      "-u",
      "UDP-RECVFROM:514,fork",
      `OPEN:${lab.directory}/${namespace}.log,creat,append`,
    ]);
    await until("socat listens", () => run(namespace, "ss", "-Hlun", "sport = :514").trim() !== "");
  }
  const copy = await startCopy(lab, ["-x", `udp:${MEMCACHED_PORT}-${TARGET},udp:514-${TARGET}`, "-t", "1"]);
  const frames = Array.from(
    { length: 5 },
    (_, i) =>
      `printf '\\0\\${i + 1}\\0\\0\\0\\1\\0\\0set key${i} 0 0 5\\r\\nhello\\r\\n' | socat -u - UDP-SENDTO:${ONLINE}:${MEMCACHED_PORT}`,
  );
  run(lab.client, "bash", "-c", frames.join("; "));
  for (let i = 0; i < 3; i++)
    run(lab.client, "logger", "-d", "-n", ONLINE, "-P", "514", "-t", "app", `line ${i}`);
  const isSettled = ({ udp }: Account) => udp!.datagrams.answered === 5 && udp!.datagrams.unanswered === 3;
  await copy.report("commands answered, lines not", isSettled);
  await copy.stop();
  expect(memcachedStatistics(lab.target)).toEqual(memcachedStatistics(lab.online));
  expect(memcachedStatistics(lab.target)["cmd_set"]).toBe("5");
  const [online, target] = [lab.online, lab.target].map((name) =>
    readFileSync(`${lab.directory}/${name}.log`, "utf8"),
  );
  expect(online!.match(/line [0-2]/g)).toEqual(["line 0", "line 1", "line 2"]);
  expect(target).toBe(online!);
});
