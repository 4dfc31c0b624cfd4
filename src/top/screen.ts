/** The terminal of `xcopy top`: the alternate screen, keys as they are pressed, and everything as it was at the end. */

import { coloured, plain } from "./text.ts";
import type { Canvas } from "./view.ts";

const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";

/** Whether the terminal shows colours (https://no-color.org). */
function hasColours(environment: NodeJS.ProcessEnv): boolean {
  return !environment.NO_COLOR && environment.TERM !== "dumb";
}

/** Keys that xcopy knows, by what terminals send. */
const KEYS: Record<string, string> = {
  "\r": "enter",
  "\n": "enter",
  "\x1b": "escape",
  "\x7f": "escape",
  "\x1b[D": "escape",
  "\x1b[C": "enter",
  "\x1b[A": "up",
  "\x1bOA": "up",
  k: "up",
  "\x1b[B": "down",
  "\x1bOB": "down",
  j: "down",
  "\x1b[5~": "page up",
  "\x1b[6~": "page down",
  "\x03": "q",
  "\x04": "q",
};

export interface Screen {
  canvas(): Canvas;
  /** Shows these lines, the first at the top. */
  draw(lines: readonly string[]): void;
  /** Puts the terminal back; can be called again. */
  leave(): void;
}

/** Takes the terminal over. `onKey` gets keys by name, letters as they are; `onResize` is for drawing again. */
export function openScreen(onKey: (key: string) => void, onResize: () => void): Screen {
  const { stdin, stdout } = process;
  const canvas = (): Canvas => ({
    columns: Math.max(20, stdout.columns || 80),
    rows: Math.max(4, stdout.rows || 24),
    paint: hasColours(process.env) ? coloured : plain,
  });
  const onData = (data: Buffer) => onKey(KEYS[data.toString("latin1")] ?? data.toString("latin1"));
  let isOpen = true;
  const leave = () => {
    if (!isOpen) return;
    isOpen = false;
    stdin.off("data", onData);
    stdin.setRawMode?.(false);
    stdin.pause();
    stdout.off("resize", onResize);
    stdout.write(LEAVE);
  };
  stdout.write(ENTER);
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on("data", onData);
    stdin.resume();
  }
  stdout.on("resize", onResize);
  process.on("exit", leave);
  return {
    canvas,
    draw(lines) {
      const shown = lines.slice(0, canvas().rows);
      // Each row is cleared first: behind a line as wide as the terminal that would take its last character.
      stdout.write(`\x1b[H${shown.map((line) => `\x1b[2K${line}`).join("\r\n")}`);
    },
    leave,
  };
}
