/** The page as a file: what is in it, how large it is, that nothing in it can be markup. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { Report } from "../../src/compare/report.ts";
import { renderPage } from "../../src/report/page.ts";
import { carriedIn } from "./carried.ts";
import { madeReport } from "./made.ts";

const MOST_BYTES = 200_000;

/** The report that a page carries. */
const carried = (page: string): Report => JSON.parse(carriedIn(page));

test("a page of 50 endpoints is at most 200 KB, the code in it half of that", () => {
  expect(renderPage(madeReport(50, 600), { live: false }).length).toBeLessThan(MOST_BYTES);
  expect(renderPage(madeReport(0, 0), { live: false }).length).toBeLessThan(MOST_BYTES * 0.6);
});

test("nothing of a report is markup, wherever it stands", () => {
  const evil = fc.constantFrom(
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "]]>\u2028\u2029&lt;",
    "'--><svg onload=alert(1)>",
  );
  const plain = renderPage(madeReport(3), { live: false });
  const tags = (page: string) => page.replace(/id="data">[^<]*</, "").match(/<[^>]*>/g)?.length;
  fc.assert(
    fc.property(evil, evil, evil, (label, text, name) => {
      const report = madeReport(3);
      report.targets[0]!.label = label;
      report.services = [text];
      report.verdict.text = text;
      report.endpoints[0]!.name = name;
      const page = renderPage(report, { live: false });
      expect(tags(page)).toBe(tags(plain)!);
      const back = carried(page);
      expect([back.targets[0]!.label, back.services[0], back.endpoints[0]!.name]).toEqual([
        label,
        text,
        name,
      ]);
    }),
  );
});

test("the policy lets its own script and style run, by their hashes, and nothing else", () => {
  for (const live of [true, false]) {
    const page = renderPage(madeReport(1), { live });
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!.replaceAll("&#39;", "'");
    const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    const script = /<script type="module">([\s\S]*)<\/script>/.exec(page)![1]!;
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)![1]!;
    expect(policy.split("; ")).toEqual([
      "default-src 'none'",
      `script-src ${hash(script)}`,
      `style-src ${hash(style)}`,
      "img-src data:",
      ...(live ? ["connect-src 'self'"] : []),
      "base-uri 'none'",
      "form-action 'none'",
    ]);
    // What would end them early.
    expect(/<\/(script|style)|<!--/i.test(script + style)).toBe(false);
    expect(page.match(/(src|href)="(?!data:)[^"]*"/g)).toBeNull();
  }
});

test("curves are carried with the digits that are drawn", () => {
  const { endpoints } = carried(renderPage(madeReport(2), { live: false }));
  expect(endpoints[0]!.firstByte.production.curve).toEqual([]);
  expect(endpoints[0]!.firstByte.production.p50).toBe(madeReport(2).endpoints[0]!.firstByte.production.p50);
  expect(endpoints[0]!.latency.target.curve.every(([, us]) => us === Number(us.toPrecision(3)))).toBe(true);
});
