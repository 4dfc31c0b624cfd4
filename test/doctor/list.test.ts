/** The list of findings: its order, checks that throw or never end, how it looks, the JSON and the exit code. */
import { expect, test } from "bun:test";
import type { Finding, FindingStatus } from "../../src/doctor/finding.ts";
import { isGood, renderJson, renderList } from "../../src/doctor/list/render.ts";
import { type Group, type ListedCheck, runChecks } from "../../src/doctor/list/run.ts";
import { Failure } from "../../src/native/failure.ts";

function finding(id: string, status: FindingStatus = "ok", fix: string | null = null): Finding {
  return { id, status, what: `what of ${id}`, found: `found of ${id}`, fix, host: null };
}

function check(group: Group, name: string, look: ListedCheck<null>["look"]): ListedCheck<null> {
  return { group, name, look };
}

test("findings stand in the order of the checks, whichever ends first", async () => {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const checks = [
    check("host", "one", () => [finding("one"), finding("two")]),
    check("arrival", "slow", async () => {
      await ended;
      return [finding("slow")];
    }),
    check("way", "quick", () => {
      end();
      return [finding("quick")];
    }),
  ];
  const found = await runChecks(checks, null);
  expect(found.map(({ id, group }) => `${group} ${id}`)).toEqual([
    "host one",
    "host two",
    "arrival slow",
    "way quick",
  ]);
});

test("a check that throws, or that never ends, is a finding, and the others go on", async () => {
  const checks = [
    check("host", "the kernel", () => {
      throw new Failure("Cannot load it: no", "Update the kernel.", 5);
    }),
    check("host", "a mistake", () => {
      throw new TypeError("undefined is not a function");
    }),
    check("intercept", "silence", () => new Promise(() => {})),
    check("intercept", "the last", () => [finding("last")]),
  ];
  const found = await runChecks(checks, null, 1);
  expect(found.map(({ id, status, what, found: text, fix }) => [id, status, what, text, fix])).toEqual([
    ["doctor.failure", "failed", "look at the kernel", "Cannot load it: no", "Update the kernel."],
    [
      "doctor.check",
      "warning",
      "look at a mistake",
      "the check itself failed: undefined is not a function",
      "Report it: it is a bug in xcopy.",
    ],
    [
      "doctor.check",
      "warning",
      "look at silence",
      "it took longer than the 0.001 s that all checks have",
      null,
    ],
    ["last", "ok", "what of last", "found of last", null],
  ]);
});

const FOUND = [
  { ...finding("a"), group: "host" as const },
  { ...finding("longer", "warning", "sysctl -w x=1"), group: "host" as const },
  { ...finding("b", "failed", "do it"), host: "10.0.0.2", group: "intercept" as const },
];

test("columns are aligned below headings, with a fix on a line of its own", () => {
  expect(renderList(FOUND, false)).toBe(
    [
      "This host",
      "  ok       what of a       found of a",
      "  warning  what of longer  found of longer",
      "           -> sysctl -w x=1",
      "",
      "On the intercept's host 10.0.0.2",
      "  failed   what of b       found of b",
      "           -> do it",
      "",
      "the copy would fail: 1 failed, 1 warning, 1 ok",
    ].join("\n"),
  );
});

test("colours change nothing but colours", () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that of colours.
  const plain = renderList(FOUND, true).replaceAll(/\x1b\[\d+m/g, "");
  expect(renderList(FOUND, true)).not.toBe(plain);
  expect(plain).toBe(renderList(FOUND, false));
});

test("JSON is one line with all fields; warnings alone are good", () => {
  const json = renderJson(FOUND);
  expect(json).not.toContain("\n");
  expect(JSON.parse(json)).toEqual({ good: false, failed: 1, warnings: 1, ok: 1, findings: FOUND });
  expect(isGood(FOUND)).toBe(false);
  expect(isGood(FOUND.slice(0, 2))).toBe(true);
});
