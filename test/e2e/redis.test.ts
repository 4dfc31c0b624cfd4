/** redis to redis: a protocol without a module, one request at a time and pipelined. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { commandCalls, contentDigest, startRedis } from "../support/redis.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const COMMANDS = ["set", "get", "incr", "lpush"];
const REQUESTS = 100_000;

for (const pipeline of [1, 16]) {
  test(`copies redis-benchmark with a pipeline of ${pipeline} to the last command`, async () => {
    await startRedis(lab, lab.online, 6379);
    await startRedis(lab, lab.target, 6379);
    const copy = await startCopy(lab, ["-x", `6379-${TARGET}`, "--drain", "50"]);

    const numbers = ["-n", `${REQUESTS}`, "-c", "50", "-P", `${pipeline}`, "-r", "1000"];
    const client = lab.start(lab.client, [
      ...["redis-benchmark", "-h", ONLINE, "-q", "-t", COMMANDS.join(",")],
      ...numbers,
    ]);
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const sent = commandCalls(lab.online, 6379, COMMANDS);
    for (const command of COMMANDS) expect(sent[command]).toBeGreaterThanOrEqual(REQUESTS);
    expect(commandCalls(lab.target, 6379, COMMANDS)).toEqual(sent);
    expect(contentDigest(lab.target, 6379)).toBe(contentDigest(lab.online, 6379));
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(code).toBe(0);
  });
}
