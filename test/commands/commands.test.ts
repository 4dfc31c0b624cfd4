/** Which command runs, and the errors where there is none. */
import { describe, expect, test } from "bun:test";
import { mistake, type Surroundings, xcopy } from "./run.ts";

const THERE =
  'There are: copy, intercept, record, report, doctor, config, top, reload, key, demo, cleanup, completion, man. "xcopy --help" says more.';
const NO_TRANSFER = mistake(
  2,
  "Cannot copy anything: no -x names a service and its target",
  'Write it as [address:]port-target[:port], for example "80-10.0.0.2:8080" or "80-[2001:db8::2]:8080".',
);

test.each([
  ["copi", 'Cannot run "copi": there is no such command', `Did you mean "copy"? ${THERE}`],
  ["frobnicate", 'Cannot run "frobnicate": there is no such command', THERE],
  ["toString", 'Cannot run "toString": there is no such command', THERE],
  ["status", 'Cannot run "status": there is no such command', `"xcopy top --once" shows what runs. ${THERE}`],
  [
    "help",
    'Cannot run "help": there is no such command',
    `"xcopy COMMAND --help" lists all options of a command. ${THERE}`,
  ],
  ["-x", 'Cannot use option "-x": it stands before any command', THERE],
])("%s", (word, message, fix) => {
  expect(xcopy([word])).toEqual(mistake(2, message, fix));
});

describe("the program's name", () => {
  test("tcpcopy is copy", () => {
    expect(xcopy([], { calledAs: "tcpcopy" })).toEqual(NO_TRANSFER);
    expect(xcopy([], { calledAs: "/usr/sbin/tcpcopy" })).toEqual(NO_TRANSFER);
  });

  test("tcpcopy's -g needs no value, ours does", () => {
    const words = ["-x", "80-127.0.0.1:8080", "-W", "-g", "--dry-run"];
    const { code, stdout } = xcopy(words, { calledAs: "tcpcopy" });
    expect([code, stdout]).toEqual([
      0,
      expect.stringContaining("\nramp      from no connection to all of these within 100 s\n"),
    ]);
    expect(xcopy(["copy", ...words])).toEqual(
      mistake(2, 'Cannot use option "-g": it needs a value', 'Write it as "-g SECONDS".'),
    );
  });

  test("intercept is intercept", () => {
    expect(xcopy(["-F"], { calledAs: "intercept" })).toEqual(
      mistake(2, 'Cannot use option "-F": it needs a value', 'Write it as "-F FILTER".'),
    );
  });
});

describe("on a host without usual places", () => {
  const without = (prepare: string): Surroundings => ({
    within: ["unshare", "-n", "-m", "sh", "-c", `ip link set lo up && ${prepare} && exec "$@"`, "sh"],
  });

  test.each([
    ["/sys", "mount -t tmpfs none /sys"],
    ["/proc/sys", "mount -t tmpfs none /proc/sys"],
    ["a /run that can be written", "mount -t tmpfs -o ro none /run"],
    [
      "/dev/shm, HOME and a /tmp that can be written",
      "umount -l /dev/shm; unset HOME TMPDIR; mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp",
    ],
  ])("%s: plans are made, cleanup has nothing to do", (_, prepare) => {
    const planned = xcopy(["copy", "-x", "80-127.0.0.1:8080", "--dry-run"], without(prepare));
    expect([planned.code, planned.stdout]).toEqual([
      0,
      expect.stringContaining("transfer  80-127.0.0.1:8080"),
    ]);
    expect(xcopy(["cleanup"], without(prepare))).toMatchObject({ code: 0, stdout: "nothing to remove\n" });
  });
});
