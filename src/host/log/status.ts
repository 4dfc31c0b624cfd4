/** The status of a run on stderr: on a terminal one line that is kept up to date, else a line at each interval. */
import { createLogUpdate } from "log-update";
import { forStderr, styleOfProcess } from "./style.ts";

/** ms between two updates of the line on a terminal. */
const LIVE_INTERVAL = 500;
/** ms between two lines where stderr is not a terminal, unless the user gives an interval. */
export const PLAIN_INTERVAL = 10_000;

export interface Status {
  /** Whether it is a line that is kept up to date. */
  readonly isLive: boolean;
  /** Prints a message; on a terminal the status line stays below it. */
  print(line: string): void;
  /** Starts to show the line that `render` returns: every `interval` ms, on a terminal every LIVE_INTERVAL. */
  start(render: () => string, interval: number): void;
  /** Stops and, on a terminal, removes the line. */
  stop(): void;
}

/** The status of one run on `stream`, in the style of the process. */
export function createStatus(stream: NodeJS.WriteStream): Status {
  const style = styleOfProcess();
  const mayMove = stream.isTTY && process.env.TERM !== "dumb" && style.format === "text";
  const live = mayMove ? createLogUpdate(stream) : null;
  let timer: Timer | undefined;
  let line = "";
  // Bun's console.error writes synchronously, so that nothing is lost at the end; on a terminal it would print in red.
  const write = (text: string) => (stream.isTTY ? stream.write(`${text}\n`) : console.error(text));
  const show = (text: string) => {
    line = text;
    if (live) live(text);
    else write(forStderr({ level: "info", text, time: new Date() }, style));
  };
  return {
    isLive: live !== null,
    print: (text) => {
      live?.clear();
      write(text);
      if (live && timer) live(line);
    },
    start: (render, interval) => {
      timer = setInterval(() => show(render()), live ? LIVE_INTERVAL : interval);
      if (live) show(render());
    },
    stop: () => {
      clearInterval(timer);
      timer = undefined;
      live?.clear();
      live?.done();
    },
  };
}
