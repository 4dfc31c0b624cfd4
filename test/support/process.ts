/** Processes in a namespace: lines as they come, an awaited end, nothing left behind. */
import { eachLine } from "../../src/copies/lines.ts";
import { inNamespace } from "../../src/demo/network.ts";
import { until } from "./until.ts";

export interface Running {
  pid: number;
  /** Lines of stdout and of stderr so far, without the newline. */
  output: string[];
  errors: string[];
  /** Resolves with the exit code, or 128 + the signal's number. */
  exited: Promise<number>;
  /** Whether it has ended. */
  ended(): boolean;
  /** Resolves with the first line of either stream, past or future, that matches. Throws if the process ends before. */
  line(pattern: RegExp, ms?: number): Promise<string>;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number>;
}

/** Starts a command in a namespace; its pid is that of the command itself. */
export function start(namespace: string, command: string[], env: Record<string, string> = {}): Running {
  const child = Bun.spawn(inNamespace(namespace, command), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  const output: string[] = [];
  const errors: string[] = [];
  const streams = [collect(child.stdout, output), collect(child.stderr, errors)];
  const exited = Promise.all([child.exited, ...streams]).then(([code]) => code);
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid,
    output,
    errors,
    exited,
    ended,
    async line(pattern, ms = 10_000) {
      return await until(
        () =>
          `"${command.join(" ")}" printed ${pattern}; it printed:\n${[...output, ...errors].slice(-20).join("\n")}`,
        async () => {
          const found = [...output, ...errors].find((line) => pattern.test(line));
          if (found === undefined && ended()) {
            await exited;
            throw new Error(`"${command.join(" ")}" ended:\n${[...output, ...errors].slice(-20).join("\n")}`);
          }
          return found;
        },
        ms,
      );
    },
    async stop(signal = "SIGTERM") {
      if (!ended()) {
        child.kill(signal);
        // One that is stopped (SIGSTOP) would not see the signal.
        child.kill("SIGCONT");
      }
      return exited;
    },
  };
}

/** Adds the lines of a stream to `lines` as they come; resolves at its end. */
export function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  return eachLine(stream, (line) => lines.push(line));
}

/** Runs a command in a namespace to its end and returns its stdout; throws with its stderr when it fails. */
export function run(namespace: string, ...command: string[]): string {
  const done = Bun.spawnSync(inNamespace(namespace, command));
  if (done.exitCode !== 0) {
    throw new Error(`Cannot run "${command.join(" ")}": ${done.stderr.toString().trim()}`);
  }
  return done.stdout.toString();
}

/** Lets this process end by `process.exit`, with what is to be done then, when it is told to. */
export function exitAtSignals(): void {
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.on(signal, () => process.exit(code));
  }
}
