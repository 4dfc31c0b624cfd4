/** `xcopy top` on a terminal: it draws, takes keys, and leaves the terminal as it was. */
import { expect, test } from "bun:test";
import { join } from "node:path";

const MAIN = join(import.meta.dir, "../../src/main.ts");

/** Runs it on a pseudo-terminal (script of util-linux), and presses `key` once it has drawn. */
async function runOnTerminal(
  key: string,
  env: Record<string, string>,
): Promise<{ code: number; output: string }> {
  const command = `stty cols 80 rows 10; exec "${process.execPath}" "${MAIN}" top`;
  const child = Bun.spawn(["script", "-qec", command, "/dev/null"], {
    stdin: "pipe",
    stdout: "pipe",
    env: { ...process.env, TERM: "xterm", ...env },
  });
  let output = "";
  let isPressed = false;
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += part;
    if (isPressed || !output.includes("q: quit")) continue;
    isPressed = true;
    child.stdin.write(key);
    child.stdin.flush();
  }
  return { code: await child.exited, output };
}

test.each([
  ["q", {}],
  ["\x03", { NO_COLOR: "1" }],
])("%j ends it", async (key, env: Record<string, string>) => {
  const { code, output } = await runOnTerminal(key, env);
  expect(code).toBe(0);
  expect(output).toContain("No copy runs on this host.");
  expect(output).toStartWith("\x1b[?1049h\x1b[?25l");
  expect(output).toEndWith("\x1b[?25h\x1b[?1049l");
  expect(output.includes("\x1b[1m") || output.includes("\x1b[2m")).toBe(!env.NO_COLOR);
});
