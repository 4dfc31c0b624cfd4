/** What a recording may contain: large bodies in merged packets, pipelined commands, VLAN tags and cooked frames. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { contentsOf, recordLoad, recordTraffic, replay } from "../support/recording.ts";
import { commandCalls, contentDigest, startRedis } from "../support/redis.ts";
import { startScript } from "../support/scripts.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** `path md5` of every body that was posted. */
async function bodiesOf(server: Nginx): Promise<string[]> {
  const posts = (await readRequests(server)).map(async ({ content, body }) => {
    const md5 = new Bun.CryptoHasher("md5").update(await Bun.file(body).bytes()).digest("hex");
    return `${/ "POST (\S+) /.exec(content)?.[1]} ${md5}`;
  });
  return await Promise.all(posts);
}

for (const device of ["front", "any"]) {
  for (const [bytes, count] of [
    [60_000, 200],
    [1_000_000, 20],
  ] as const) {
    test(`bodies of ${bytes} bytes, recorded at ${device}, arrive as they were`, async () => {
      const online = await startNginx(lab, lab.online, 80);
      const post = async () => {
        const words = [`http://${ONLINE}`, `${bytes}`, `${count}`, "10"];
        const client = startScript(lab, lab.client, "post.ts", ...words);
        expect(await client.exited).toBe(0);
        return client.output;
      };
      let sent: string[] = [];
      const file = await recordTraffic(
        lab,
        `post-${device}-${bytes}.pcap`,
        async () => {
          sent = await post();
        },
        { device },
      );
      await online.stop();
      // Merged packets are what this is about.
      const lengths = run(
        lab.online,
        "tshark",
        "-r",
        file,
        "-Y",
        "tcp.len > 20000",
        "-T",
        "fields",
        "-e",
        "tcp.len",
      );
      expect(lengths).not.toBe("");
      for (const speed of ["max", "1"]) {
        const target = await startNginx(lab, lab.target, 8080);
        const { code, report } = await replay(lab, ["-i", file, "-a", speed]);
        expect(compareContents(sent, await bodiesOf(target))).toEqual(EXACTLY_ONCE);
        expect(report.turns).toMatchObject({ captured: count, answered: count, dropped: 0 });
        expect(code).toBe(0);
        await target.stop();
      }
    });
  }
}

const COMMANDS = ["set", "get", "incr", "lpush"];

for (const pipeline of [1, 16]) {
  test(`redis-benchmark with a pipeline of ${pipeline}, to the last command`, async () => {
    await startRedis(lab, lab.online, 6379);
    await startRedis(lab, lab.target, 6379);
    const numbers = ["-n", `${pipeline * 5000}`, "-c", "50", "-P", `${pipeline}`, "-r", "1000"];
    const words = ["redis-benchmark", "-h", ONLINE, "-q", "-t", COMMANDS.join(","), ...numbers];
    const file = await recordTraffic(
      lab,
      `redis-${pipeline}.pcap`,
      async () => expect(await lab.start(lab.client, words).exited).toBe(0),
      // Commands are small, sixteen of them too: the kernel's memory has room for all packets until tcpdump reads them.
      { filter: "tcp port 6379", snaplen: pipeline === 1 ? 512 : 8192 },
    );
    const { code, report } = await replay(lab, ["-x", `6379-${TARGET}`, "-i", file, "-a", "max"]);
    const sent = commandCalls(lab.online, 6379, COMMANDS);
    for (const command of COMMANDS) expect(sent[command]).toBeGreaterThanOrEqual(pipeline * 5000);
    expect(commandCalls(lab.target, 6379, COMMANDS)).toEqual(sent);
    expect(contentDigest(lab.target, 6379)).toBe(contentDigest(lab.online, 6379));
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(code).toBe(0);
  });
}

test("cooked frames of every interface, and frames with VLAN tags, from a directory", async () => {
  const { file, sent } = await recordLoad(
    lab,
    "cooked.pcap",
    { url: `http://${ONLINE}`, count: 500 },
    { device: "any" },
  );
  const plain = await recordLoad(lab, "plain.pcap", { url: `http://${ONLINE}`, count: 500, close: true });
  // As a switch would hand them to a mirror port: 802.1Q, tag 7.
  const directory = join(lab.directory, "recordings");
  mkdirSync(directory);
  run(
    lab.online,
    "tcprewrite",
    "--enet-vlan=add",
    "--enet-vlan-tag=7",
    "--enet-vlan-cfi=0",
    "--enet-vlan-pri=0",
    `--infile=${plain.file}`,
    `--outfile=${directory}/tagged.pcap`,
  );
  expect(
    run(lab.online, "tshark", "-r", `${directory}/tagged.pcap`, "-Y", "vlan.id == 7", "-c", "1"),
  ).not.toBe("");
  run(lab.online, "mv", file, join(directory, "cooked.pcap"));

  const target = await startNginx(lab, lab.target, 8080);
  const { code, report } = await replay(lab, ["-i", directory, "-a", "max"]);
  expect(compareContents([...sent, ...plain.sent], await contentsOf(target))).toEqual(EXACTLY_ONCE);
  expect(report.trace).toMatchObject({ files: 2, files_done: 2 });
  expect(code).toBe(0);
});
