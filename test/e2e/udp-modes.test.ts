/** UDP where the kernel learns no flows: on an assistant, and by a netfilter queue. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { watchPackets } from "../support/capture.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { run } from "../support/process.ts";
import { createThird, THIRD } from "../support/third.ts";
import { ask, startUnbound } from "../support/unbound.ts";
import { datagramFaultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
let third: string;
beforeAll(() => {
  lab = createLab({ manyClients: false });
  third = createThird(lab);
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const NONE = { packets: 0, lines: [] };
const QUESTIONS = 2000;

const SERVICES = ["-o", `${TARGET}:5353`, "-o", `[${TARGET6}]:5353`, "-o", `${TARGET}:5399`];

for (const { name, host, at, words } of [
  { name: "an assistant", host: () => third, at: THIRD, words: SERVICES },
  {
    name: "an assistant by XDP",
    host: () => third,
    at: THIRD,
    words: [...SERVICES, "--hook", "xdp", "-i", "net0"],
  },
  {
    name: "a netfilter queue",
    host: () => lab.target,
    at: TARGET,
    words: ["--mode", "nfqueue", "-o", ":5353", "-o", ":5399", "-b", TARGET],
  },
]) {
  test(`${name} takes what the target answers to the clients' questions, and nothing else`, async () => {
    const online = await startUnbound(lab, lab.online, 53);
    const target = await startUnbound(lab, lab.target, 5353);
    const intercept = await startIntercept(lab, host(), words);
    const transfers = `udp:53-${TARGET}:5353,udp:54-${TARGET}:5399,udp:[${ONLINE6}]:53-[${TARGET6}]:5353`;
    const copy = await startCopy(lab, ["-s", at, "-x", transfers]);
    const atClient = await watchPackets(
      lab,
      lab.client,
      "net0",
      `src host ${TARGET} or src host ${TARGET6} or icmp[0] = 3 and not src host ${ONLINE}`,
    );

    for (const server of [ONLINE, ONLINE6]) expect(await ask(lab, server, QUESTIONS, 2000)).toBe(QUESTIONS);
    // An answer in fragments.
    run(lab.client, "dig", `@${ONLINE}`, "+bufsize=4096", "+ignore", "large.example", "TXT");
    const asked = 2 * QUESTIONS + 1;
    await copy.report("all answered", ({ udp }) => udp!.datagrams.answered === asked);
    // Nothing listens on 54 and 5399: what the target says of that is nobody's business.
    Bun.spawnSync([
      "ip",
      "netns",
      "exec",
      lab.client,
      "dig",
      `@${ONLINE}`,
      "-p",
      "54",
      "+tries=1",
      "+time=1",
      "a.example",
    ]);
    await copy.report("all captured", ({ udp }) => udp!.datagrams.sent === asked + 1);
    // Everybody else goes on using the target.
    const direct = run(lab.online, "dig", `@${TARGET}`, "-p", "5353", "+short", "host3.example");
    expect(direct.trim()).toBe("10.9.0.3");
    const { report } = await copy.stop();
    const { account } = await intercept.stop();

    expect(await atClient.stop()).toEqual(NONE);
    expect(report.udp!.datagrams).toMatchObject({ captured: asked + 1, sent: asked + 1, answered: asked });
    expect(online.questions().length).toBe(asked);
    expect(target.questions().length).toBe(asked + 1);
    expect(account.routed).toBe(asked);
    expect(account.unrouted).toBe(0);
    expect(datagramFaultsOf(copy.reports())).toEqual([]);
  });
}
