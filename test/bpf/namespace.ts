/** Network namespaces of the tests' own. */
import { dlopen, FFIType } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

const CLONE_NEWNET = 0x40000000;
const { setns } = dlopen("libc.so.6", {
  setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
}).symbols;

/** Runs a command; throws with what it said if it fails. */
export function command(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** Calls `inside` with this thread in a network namespace; it must not wait for anything. */
export function enterNamespace<T>(name: string, inside: () => T): T {
  const before = openSync("/proc/thread-self/ns/net", "r");
  const here = openSync(`/run/netns/${name}`, "r");
  try {
    if (setns(here, CLONE_NEWNET) !== 0) throw new Error(`Cannot enter ${name}`);
    return inside();
  } finally {
    setns(before, CLONE_NEWNET);
    closeSync(before);
    closeSync(here);
  }
}

let made = 0;
const open = new Set<Namespace>();
process.on("exit", () => {
  for (const namespace of open) namespace.remove();
});

export class Namespace {
  readonly name = `xc${process.pid}k${made++}`;

  constructor() {
    command("ip", "netns", "add", this.name);
    open.add(this);
    this.ip("link", "set", "lo", "up");
  }

  ip(...words: string[]): void {
    command("ip", "-n", this.name, ...words);
  }

  /** Runs a command in here. */
  run(...words: string[]): string {
    return command("ip", "netns", "exec", this.name, ...words);
  }

  /** Index of an interface in here. */
  ifindex(name: string): number {
    return JSON.parse(command("ip", "-n", this.name, "-j", "link", "show", name))[0].ifindex;
  }

  /** Calls `inside` with this thread in the namespace; it must not wait for anything. */
  enter<T>(inside: () => T): T {
    return enterNamespace(this.name, inside);
  }

  remove(): void {
    if (open.delete(this)) Bun.spawnSync(["ip", "netns", "del", this.name]);
  }
}
