/** Starts processes of the demo in its namespaces, and reads the JSON lines that they print about themselves. */
import { setPriority } from "node:os";
import { inNamespace } from "./network.ts";

export interface Child<Report> {
  pid: number;
  /** The last line it printed. */
  latest: Report | null;
  /** Resolves with the next line, or with null when it has ended. */
  next(): Promise<Report | null>;
  /** What it has printed on standard error. */
  messages(): string;
  exited: Promise<number>;
  /** Whether it has ended, and all is read that it printed. */
  hasEnded: boolean;
  /** SIGTERM, then the exit code. */
  stop(): Promise<number>;
}

/** The command line that starts this program again, compiled or not. */
export function self(): string[] {
  return Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];
}

/** Starts a command in a namespace. It sees the end of its standard input when this process is gone. */
export function spawnChild<Report>(
  namespace: string,
  command: string[],
  env: Record<string, string>,
  nice: number,
): Child<Report> {
  const process_ = Bun.spawn(inNamespace(namespace, command), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  try {
    setPriority(process_.pid, nice);
  } catch {
    // It has ended already.
  }
  let waiting = Promise.withResolvers<Report | null>();
  let said = "";
  const child: Child<Report> = {
    pid: process_.pid,
    latest: null,
    next: () => waiting.promise,
    messages: () => said,
    exited: Promise.all([process_.exited, read(), listen()]).then(([code]) => {
      child.hasEnded = true;
      return code;
    }),
    hasEnded: false,
    stop() {
      process_.kill("SIGTERM");
      return child.exited;
    },
  };

  async function read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of process_.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        child.latest = JSON.parse(line) as Report;
        const waited = waiting;
        waiting = Promise.withResolvers();
        waited.resolve(child.latest);
      }
    }
    waiting.resolve(null);
  }

  async function listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of process_.stderr) said += decoder.decode(chunk, { stream: true });
  }

  return child;
}
