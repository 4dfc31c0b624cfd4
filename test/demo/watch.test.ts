/** When the demo is given up: not for being slow, only when nothing moves. */
import { expect, test } from "bun:test";
import { type Awaited, LIMIT, Watch } from "../../src/demo/watch.ts";

const awaited = (messages = ""): Awaited => ({
  aim: "start",
  lack: '"xcopy copy" has said nothing',
  messages: () => messages,
});
const failuresOf = (watch: Watch, states: string[]) => states.map((state) => watch.look(state, awaited()));
const same = (state: string, looks: number) => Array.from({ length: looks }, () => state);

test("however long it takes, it goes on while something moves now and then", () => {
  const states = Array.from({ length: 100 }, (_, index) => same(`${index}`, LIMIT)).flat();
  expect(new Set(failuresOf(new Watch(), states))).toEqual(new Set([null]));
});

test("it is given up at the 30th look that finds nothing new, with what it waited for", () => {
  const watch = new Watch();
  expect(failuresOf(watch, ["moved", ...same("still", LIMIT)])).not.toContainEqual(expect.any(Error));
  expect(watch.look("still", awaited())).toMatchObject({
    message: 'Cannot start the demo: "xcopy copy" has said nothing for 30 s',
    fix: "Try again with less running on this machine. If it stays so, please report it.",
    exitCode: 1,
  });
});

test("what the process has said stands in place of the fix", () => {
  const watch = new Watch();
  failuresOf(watch, same("still", LIMIT));
  expect(watch.look("still", awaited("no room\n"))).toMatchObject({ fix: "no room" });
});
