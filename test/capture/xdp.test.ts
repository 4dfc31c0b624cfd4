/** What is about XDP alone: modes, what else is attached, MAC addresses that change. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { Failure } from "../../src/native/failure.ts";
import { build } from "../bpf/build.ts";
import { loadForTest, type TestCapture } from "../bpf/capture.ts";
import { until } from "../support/until.ts";
import { HOST_MAC, Link } from "./link.ts";

// One for all: a thread asks about the interfaces of the namespace where it asked first.
let link: Link;
let open: TestCapture[] = [];
beforeAll(() => {
  link = new Link();
});
afterEach(() => {
  for (const { kernel } of open) link.host.enter(() => kernel.detach());
  open = [];
});
afterAll(() => link?.remove());

function load(hook: "xdp" | "xdp-generic" = "xdp"): TestCapture {
  const capture = loadForTest({ hook, paths: null });
  open.push(capture);
  capture.beat();
  return capture;
}

test("uses native mode where the driver can, else generic mode, and tc where there is no Ethernet", () => {
  link.host.ip("link", "add", "xcd", "type", "bridge");
  const [veth, bridge, lo] = ["xcb", "xcd", "lo"].map((name) => link.host.ifindex(name)) as [
    number,
    number,
    number,
  ];
  const { kernel } = load();
  link.host.enter(() => {
    kernel.attachRequests([veth, bridge, lo]);
    expect([veth, bridge, lo].map((ifindex) => kernel.usesXdp(ifindex))).toEqual([true, true, false]);
  });
  expect([veth, bridge, lo].map((ifindex) => kernel.xdpModeOn(ifindex))).toEqual([
    "native",
    "generic",
    undefined,
  ]);
  link.host.enter(() => kernel.detachRequests());
  link.host.ip("link", "del", "xcd");
  const other = load("xdp-generic").kernel;
  link.host.enter(() => other.attachRequests([veth]));
  expect(other.xdpModeOn(veth)).toBe("generic");
});

test("another program on the interface stays, and is an error", () => {
  const [first, second] = [load().kernel, load().kernel];
  link.host.enter(() => {
    first.attachRequests([link.ifindex]);
    let error: unknown;
    try {
      second.attachRequests([link.ifindex]);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(Failure);
    expect(error).toMatchObject({
      message: 'Cannot attach to interface "xcb" by XDP: another program is attached',
      exitCode: 3,
    });
    expect(first.xdpModeOn(link.ifindex)).toBe("native");
  });
});

test("a changed MAC address is learned: frames to it are for this host", async () => {
  const capture = load();
  const { kernel } = capture;
  link.host.enter(() => kernel.attachRequests([link.ifindex]));
  const changed = [2, 0, 0, 0, 0, 0x77];
  const send = (destinationMac: number[], sourcePort: number) =>
    link.send(build({ destinationMac, sourcePort, destinationPort: 8080, payload: 5 }).bytes);
  const ports = () => {
    const found = capture.takeRequests();
    return found.map(({ bytes }) => new DataView(bytes.buffer, bytes.byteOffset).getUint16(20));
  };
  link.host.ip("link", "set", "xcb", "address", "02:00:00:00:00:77");
  send(changed, 1001);
  send(HOST_MAC, 1002);
  const seen: number[] = [];
  await until("the packet to the MAC address that was", () => {
    seen.push(...ports());
    return seen.includes(1002);
  });
  link.host.enter(() => kernel.learnMacs());
  send(HOST_MAC, 1003);
  send(changed, 1004);
  await until("the packet to the MAC address that is", () => {
    seen.push(...ports());
    return seen.includes(1004);
  });
  link.host.ip("link", "set", "xcb", "address", "02:00:00:00:00:02");
  expect(seen).toEqual([1002, 1004]);
});

test("an interface that is gone does not affect the others", async () => {
  const capture = load();
  const { kernel } = capture;
  link.host.ip("link", "add", "xcd", "type", "bridge");
  const bridge = link.host.ifindex("xcd");
  link.host.enter(() => kernel.attachRequests([bridge, link.ifindex]));
  link.host.ip("link", "del", "xcd");
  link.host.enter(() => kernel.forget(bridge));
  expect(kernel.xdpModeOn(bridge)).toBeUndefined();
  link.send(build({ destinationMac: HOST_MAC, payload: 5 }).bytes);
  await until("the packet", () => capture.takeRequests().length === 1);
});
