/** Packets as a network card would see them: veth carries large ones whole, unless it is told otherwise. */
import { run } from "./process.ts";

/** Makes a device cut what it sends to the MTU, as the wire needs it. */
export function sendWirePackets(namespace: string, device: string): void {
  run(namespace, "ethtool", "-K", device, "tso", "off", "gso", "off");
}

/** Whether a device merges what it receives (GRO). */
export function setMerging(namespace: string, device: string, on: boolean): void {
  run(namespace, "ethtool", "-K", device, "gro", on ? "on" : "off");
}

/**
 * Lets a device send no faster than so many bytes per second. A burst at the speed of memory overflows the rings while
 * xcopy waits for a CPU that others use, which tests of something else must not depend on.
 */
export function limitSpeed(namespace: string, device: string, bytes: number): void {
  const rate = ["rate", `${bytes * 8}bit`, "burst", "256k", "latency", "50ms"];
  run(namespace, "tc", "qdisc", "replace", "dev", device, "root", "tbf", ...rate);
}
