/** A service manager of a test: the datagrams of sd_notify(3) that a process sends to its socket. */
import { rmSync } from "node:fs";
import { address, libc, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from "../../src/native/libc.ts";
import { unixAddress } from "../../src/native/notify/notify.ts";
import { until } from "./until.ts";

const AF_UNIX = 1;

export interface FakeManager {
  /** What has been said so far, a line each, in order. */
  said(): string[];
  /** Waits until a line matches that came after the first `from`. */
  hear(pattern: RegExp, from?: number): Promise<void>;
  close(): void;
}

/** Listens on a path, or with @ in front on an abstract name. */
export function listenAsManager(name: string): FakeManager {
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const own = unixAddress(name)!;
  if (libc.bind(fd, address(own), own.length) !== 0) throw new Error(`Cannot listen on "${name}"`);
  const bytes = new Uint8Array(new ArrayBuffer(4096));
  const lines: string[] = [];
  const said = () => {
    for (;;) {
      const length = Number(libc.recv(fd, address(bytes), bytes.length, MSG_DONTWAIT));
      if (length < 0) return lines;
      lines.push(...new TextDecoder().decode(bytes.subarray(0, length)).trimEnd().split("\n"));
    }
  };
  // A queue holds some ten datagrams, and what finds no room is lost.
  const reads = setInterval(said, 20);
  return {
    said,
    hear: (pattern, from = 0) =>
      until(`${pattern} among what the service manager is told`, () =>
        said()
          .slice(from)
          .some((line) => pattern.test(line)),
      ).then(() => {}),
    close() {
      clearInterval(reads);
      libc.close(fd);
      if (!name.startsWith("@")) rmSync(name, { force: true });
    },
  };
}
