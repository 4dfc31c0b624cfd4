/**
 * A tunnel without MAC headers between two namespaces; run as `bun tun.ts NAMESPACE ADDRESS NAMESPACE ADDRESS`. Makes an interface
 * "tun9" in each (tun, MTU 1400), carries the packets, and prints "up" once both are.
 */
import { dlopen } from "bun:ffi";
import { openSync } from "node:fs";
import { address, libc, POLLIN } from "../../src/native/libc.ts";

const { symbols } = dlopen("libc.so.6", {
  setns: { args: ["i32", "i32"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
});
const CLONE_NEWNET = 0x40000000;
const TUNSETIFF = 0x400454ca;
const IFF_TUN_NO_PI = 0x1001;
const LARGEST = 65536;

const [left, leftAddress, right, rightAddress] = process.argv.slice(2) as [string, string, string, string];

function open(namespace: string, own: string, peer: string): number {
  if (symbols.setns(openSync(`/run/netns/${namespace}`, "r"), CLONE_NEWNET) !== 0)
    throw new Error(`Cannot enter "${namespace}"`);
  const device = openSync("/dev/net/tun", "r+");
  const request = Buffer.from(new ArrayBuffer(40));
  request.write("tun9");
  request.writeUInt16LE(IFF_TUN_NO_PI, 16);
  if (symbols.ioctl(device, TUNSETIFF, request) !== 0) throw new Error("Cannot make a tun interface");
  const lines = [`addr add ${own} peer ${peer} dev tun9`, "link set tun9 mtu 1400 up"];
  for (const line of lines) {
    const { exitCode, stderr } = Bun.spawnSync(["ip", "-n", namespace, ...line.split(" ")]);
    if (exitCode !== 0) throw new Error(stderr.toString());
  }
  return device;
}

const ends = [open(left, leftAddress, rightAddress), open(right, rightAddress, leftAddress)];
console.log("up");
const packet = new Uint8Array(new ArrayBuffer(LARGEST));
const polled = new Int32Array(new ArrayBuffer(16));
for (;;) {
  for (const [index, end] of ends.entries()) {
    polled[index * 2] = end;
    polled[index * 2 + 1] = POLLIN;
  }
  libc.poll(address(polled), 2, 1000);
  for (const [index, end] of ends.entries()) {
    if (!((polled[index * 2 + 1]! >> 16) & POLLIN)) continue;
    const length = Number(libc.read(end, address(packet), LARGEST));
    if (length > 0) libc.write(ends[1 - index]!, address(packet), length);
  }
}
