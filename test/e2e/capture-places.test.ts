/** Where requests are captured and packets sent: interfaces that come and go, clients on this host, named next hops. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ip, ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { load } from "../support/wrk.ts";
import { startCopy } from "../support/xcopy.ts";

/** Of the client's host. */
const CLIENT = "10.1.0.2";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

async function contents(server: Nginx): Promise<string[]> {
  return (await readRequests(server)).map(({ content }) => content);
}

test("a next hop named by its MAC address", async () => {
  const [{ address }] = JSON.parse(ip("-j", "-n", lab.target, "link", "show", "net0"));
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080@${address}`]);
  await load(lab, { url: `http://${ONLINE}`, rate: 1000, count: 500 });
  const { code } = await copy.stop();
  expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
  expect(code).toBe(0);
});

const clients = new Set<() => void>();
afterEach(() => {
  for (const remove of clients) remove();
});

/** A client on a network of its own, which the online host has an interface of this name to. */
function addClient(name: string, number: number): { namespace: string; url: string; remove(): void } {
  const namespace = `${lab.online}-${number}`;
  ip("netns", "add", namespace);
  ip("-n", lab.online, "link", "add", name, "type", "veth", "peer", "name", "net0", "netns", namespace);
  const remove = () => {
    if (!clients.delete(remove)) return;
    // The namespace would take the interface along, but later.
    ip("-n", lab.online, "link", "del", name);
    ip("netns", "del", namespace);
  };
  clients.add(remove);
  ip("-n", lab.online, "addr", "add", `10.7.${number}.1/24`, "dev", name);
  ip("-n", namespace, "addr", "add", `10.7.${number}.2/24`, "dev", "net0");
  ip("-n", namespace, "link", "set", "net0", "up");
  ip("-n", lab.online, "link", "set", name, "up");
  return { namespace, url: `http://10.7.${number}.1`, remove };
}

test.each(["tcx", "clsact", "packet", "raw", "pcap", "xdp"])(
  "capture by %s goes along with interfaces that come and go",
  async (backEnd) => {
    const online = await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const first = addClient("first", 1);
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "--capture", backEnd]);
    await load(lab, { url: first.url, rate: 500, count: 100, namespace: first.namespace });
    const second = addClient("second", 2);
    await copy.running.line(/^capturing on second as well$/);
    await load(lab, { url: second.url, rate: 500, count: 100, namespace: second.namespace });
    first.remove();
    // With another interface of the same name.
    const third = addClient("first", 3);
    await copy.running.line(/^capturing on first as well$/);
    await load(lab, { url: third.url, rate: 500, count: 100, namespace: third.namespace });
    const { code, report } = await copy.stop();
    expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: 300, answered: 300, dropped: 0 });
    expect(code).toBe(0);
  },
);

test.each(["tcx", "clsact", "packet", "pcap"])(
  "--direction out, by %s: copies what clients on this host ask of a service elsewhere",
  async (backEnd) => {
    const service = await startNginx(lab, lab.client, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const copy = await startCopy(lab, [
      ...["-x", `${CLIENT}:80-${TARGET}:8080`, "--direction", "out", "--capture", backEnd],
    ]);
    await load(lab, { url: `http://${CLIENT}`, rate: 500, count: 500, namespace: lab.online });
    const { code, report } = await copy.stop();
    expect(compareContents(await contents(service), await contents(target))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: 500, answered: 500, dropped: 0 });
    expect(code).toBe(0);
  },
);
