/** Copies on a host that no request is addressed to: it gets the packets of online from a mirror port, plain or in VXLAN. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ip, ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { createElsewhere, joinHosts } from "../support/third.ts";
import { loadBothKinds } from "../support/wrk.ts";
import { startCopy } from "../support/xcopy.ts";

let lab: Lab;
let mirrored: string;
beforeAll(() => {
  lab = createLab({ manyClients: false });
  mirrored = createElsewhere(lab);
  joinHosts(lab.online, "span", ["10.6.0.1"], mirrored, "span", ["10.6.0.2"]);
  for (const [host, local, remote] of [
    [lab.online, "10.6.0.1", "10.6.0.2"],
    [mirrored, "10.6.0.2", "10.6.0.1"],
  ] as const) {
    ip("-n", host, "link", "set", "span", "mtu", "9000");
    const vxlan = ["type", "vxlan", "id", "7", "dstport", "4789", "local", local, "remote", remote];
    ip("-n", host, "link", "add", "vx0", "mtu", "8000", ...vxlan, "dev", "span");
    ip("-n", host, "link", "set", "vx0", "up");
  }
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** From now on what comes in from the client leaves by this interface as well. */
function mirrorTo(device: string): void {
  const chain = "chain netdev mirror from { type filter hook ingress device front priority 0; }";
  const rules = `add table netdev mirror; add ${chain}; flush ${chain.split(" {")[0]}; add rule netdev mirror from dup to ${device}`;
  run(lab.online, "nft", rules);
}

for (const [name, device] of [
  ["plain", "span"],
  ["in VXLAN", "vx0"],
]) {
  test(`keep-alive and short connections, ${name}`, async () => {
    mirrorTo(device!);
    const online = await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const copy = await startCopy(lab, ["-i", device!, "-x", `${ONLINE}:80-${TARGET}:8080`], {
      namespace: mirrored,
    });
    await loadBothKinds(lab, { url: `http://${ONLINE}`, rate: 2000, count: 4000 });
    const { code, report } = await copy.stop();

    const contents = async (server: typeof online) =>
      (await readRequests(server)).map(({ content }) => content);
    expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ answered: 4000, dropped: 0 });
    expect(code).toBe(0);
  });
}
