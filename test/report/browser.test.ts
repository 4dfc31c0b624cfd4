/** The page in a real Chromium: as a file and live. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import type { Report } from "../../src/compare/report.ts";
import { compareReports } from "../../src/compare/runs.ts";
import { renderPage, renderRunsPage } from "../../src/report/page.ts";
import { startWeb } from "../../src/web/web.ts";
import { madeSource } from "../web/made.ts";
import { CHROMIUM, openPage, startBrowser } from "./browser.ts";
import { emptyReport, endpoint, madeReport, moment } from "./made.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-page-"));
let browser: Browser;

beforeAll(async () => {
  if (existsSync(CHROMIUM)) browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
  rmSync(directory, { recursive: true });
});

let files = 0;
/** The address of a file with this page. */
function fileOf(page: string): string {
  const path = join(directory, `${files++}.html`);
  writeFileSync(path, page);
  return `file://${path}`;
}

const reportFile = (report: Report) => fileOf(renderPage(report, { live: false }));
const namesOf = (page: Page) => page.locator(".row .name").allTextContents();
/** How far the page is wider than its window. */
const sideways = (page: Page) =>
  page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");

/** In the page: classes of elements with text whose contrast is less than 4.5 to 1 (WCAG 2.1, 1.4.3, AA). */
const FAINT = `(() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour.startsWith("rgb") && (channels(colour)[3] ?? 1) === 1) return channels(colour);
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const element of document.querySelectorAll("#page *")) {
    const own = [...element.childNodes].some(({ nodeType, textContent }) => nodeType === 3 && textContent.trim());
    if (!own || element.tagName === "OPTION" || !element.checkVisibility()) continue;
    const [one, other] = [luminance(channels(getComputedStyle(element).color)), luminance(groundOf(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.add((element.className || element.tagName) + ": " + ratio.toFixed(2));
  }
  return [...found];
})()`;

/** In the page: whether anything is drawn in the first chart. */
const MARKED = `(() => {
  const canvas = document.querySelector("canvas");
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
})()`;

/** In the page: notes in seen what is open when the printer gets it. */
const WATCH_PRINTING = `
  addEventListener("beforeprint", () => {
    const count = (selector) => document.querySelectorAll(selector).length;
    window.seen = { open: count(".opened"), closed: count(".opened details:not([open])"), charts: count(".opened canvas") };
  });`;

describe.skipIf(!existsSync(CHROMIUM))("in a browser", () => {
  test("sorting, filtering and opening rows work, by mouse and keyboard", async () => {
    const report = madeReport(50);
    const { page, faults } = await openPage(browser, reportFile(report));
    expect(await namesOf(page)).toEqual(report.endpoints.map(({ name }) => name));

    await page.locator(".sorter", { hasText: "Requests" }).click();
    const byCount = report.endpoints.toSorted((one, other) => other.count - one.count);
    expect(await namesOf(page)).toEqual(byCount.map(({ name }) => name));
    expect(await page.locator("thead th", { hasText: "Requests" }).getAttribute("aria-sort")).toBe(
      "descending",
    );
    await page.locator(".sorter", { hasText: "Requests" }).press("Enter");
    expect(await namesOf(page)).toEqual(byCount.toReversed().map(({ name }) => name));

    await page.locator(".search input").fill("users orders");
    const wanted = byCount.toReversed().filter(({ name }) => /users.*orders/.test(name));
    expect(await namesOf(page)).toEqual(wanted.map(({ name }) => name));
    await page.locator(".search input").fill("");
    await page.locator("fieldset label", { hasText: "With errors" }).click();
    expect((await namesOf(page)).toSorted()).toEqual(
      report.endpoints
        .filter(({ errors }) => errors > 0)
        .map(({ name }) => name)
        .toSorted(),
    );

    const opener = page.locator(".opener").first();
    await opener.focus();
    await opener.press("Enter");
    expect(await opener.getAttribute("aria-expanded")).toBe("true");
    const detail = page.locator(".opened");
    expect(await detail.getByText("200 -> 500").first().isVisible()).toBe(true);
    expect(await detail.locator("canvas").count()).toBe(1);
    expect(await detail.locator("ins", { hasText: "500 Internal Server Error" }).count()).toBe(1);
    await opener.press("Enter");
    expect(await detail.count()).toBe(0);
    expect(faults).toEqual([]);
  });

  test.each([
    [390, "light"],
    [390, "dark"],
    [1600, "light"],
    [1600, "dark"],
  ] as const)(
    "at %d px, %s, nothing sticks out, and text stands out from its ground",
    async (width, scheme) => {
      const { page, faults } = await openPage(browser, reportFile(madeReport(6)), { width, scheme });
      for (const opener of (await page.locator(".opener").all()).slice(0, 2)) await opener.click();
      expect(await sideways(page)).toBe(0);
      expect(await page.evaluate(FAINT)).toEqual([]);
      expect(faults).toEqual([]);
    },
  );

  test("markup in every text of a report stays text", async () => {
    const evil = '</script><img src=x onerror="alert(1)"><svg/onload=alert(2)>\u2028<!--';
    const spoil = (value: unknown): unknown => {
      if (typeof value === "string") return value === "" ? "" : evil + value;
      if (Array.isArray(value)) return value.map(spoil);
      if (typeof value !== "object" || value === null) return value;
      const kept = ["kind", "because", "protocol"];
      return Object.fromEntries(
        Object.entries(value).map(([key, inner]) => [key, kept.includes(key) ? inner : spoil(inner)]),
      );
    };
    const report = spoil(madeReport(4)) as Report;
    for (const address of [reportFile(report), fileOf(renderRunsPage(compareReports(report, report)))]) {
      const { page, faults } = await openPage(browser, address, { width: 390 });
      for (const opener of await page.locator(".opener").all()) await opener.click();
      for (const summary of await page.locator("summary").all()) await summary.click();
      expect(await page.locator("img, svg, iframe").count()).toBe(0);
      expect(await page.getByText('<img src=x onerror="alert(1)">').count()).toBeGreaterThan(0);
      expect(await sideways(page)).toBe(0);
      expect(faults).toEqual([]);
    }
  });

  test.each([
    ["no point", 0],
    ["one point", 1],
    ["two points", 2],
    ["600 points", 600],
  ])("charts with %s", async (_, points) => {
    const { page, faults } = await openPage(
      browser,
      reportFile({ ...madeReport(1), timeline: Array.from({ length: points }, (_, at) => moment(at)) }),
    );
    expect(await page.locator("canvas").count()).toBe(points === 0 ? 1 : 4);
    const marked = await page.evaluate(MARKED);
    expect(marked).toBe(true);
    expect(faults).toEqual([]);
  });

  test("a report of nothing is a page too", async () => {
    const { page, faults } = await openPage(browser, reportFile(emptyReport()));
    expect(await page.getByText("nothing was compared yet").isVisible()).toBe(true);
    expect(faults).toEqual([]);
  });

  test("1,000 endpoints stay usable: some rows first, all when asked for, and a filter finds any", async () => {
    const report = madeReport(1000, 600);
    const { page, faults } = await openPage(browser, reportFile(report));
    expect(await page.locator(".row").count()).toBe(100);
    await page.locator(".search input").fill(report.endpoints.at(-1)!.name);
    expect(await namesOf(page)).toContain(report.endpoints.at(-1)!.name);
    await page.locator(".search input").fill("");
    await page.locator(".more button", { hasText: "Show all 1,000" }).click();
    expect(await page.locator(".row").count()).toBe(1000);
    await page.locator(".sorter").first().click();
    expect((await namesOf(page)).length).toBe(1000);
    expect(faults).toEqual([]);
  });

  test("on paper all that is worse is open, and there is nothing to click", async () => {
    const report = madeReport(12, 20);
    const { page, faults } = await openPage(browser, reportFile(report));
    const worse = report.endpoints.filter(
      ({ worse, errors, different }) => worse + errors + different > 0,
    ).length;
    // The page is drawn for the printer between these two: what it is like is seen there.
    await page.evaluate(WATCH_PRINTING);
    const pdf = await page.pdf({ format: "A4" });
    expect(pdf.subarray(0, 5).toString()).toBe("%PDF-");
    expect(await page.evaluate("seen")).toEqual({ open: worse, closed: 0, charts: worse });
    await page.emulateMedia({ media: "print" });
    expect(await page.locator(".controls").isVisible()).toBe(false);
    expect(await page.locator(".opened").count()).toBe(0);
    expect(faults).toEqual([]);
  });

  test("two runs compared are a page", async () => {
    const [before, after] = [madeReport(30), madeReport(30)];
    after.endpoints[0]!.errors += 500;
    const { page, faults } = await openPage(browser, fileOf(renderRunsPage(compareReports(before, after))), {
      width: 390,
    });
    expect(await page.locator(".row").count()).toBeGreaterThan(0);
    expect(await sideways(page)).toBe(0);
    expect(faults).toEqual([]);
  });

  test("live numbers move, an open row is fetched, and the end is said", async () => {
    const { source, report } = madeSource();
    const token = "0123456789abcdef-a-token";
    const web = await startWeb({ host: "127.0.0.1", port: 0, token }, source);
    const { page, faults } = await openPage(browser, `${web.url}?token=${token}`).catch(async (error) => {
      await web.close();
      throw error;
    });
    expect(page.url()).toBe(web.url);
    // All else is asked for under the address without the token.
    const foreign = () => faults.filter((fault) => !fault.startsWith(`request: ${web.url}`));
    await page.getByText("live", { exact: true }).waitFor();
    expect(await page.locator(".key-figures").textContent()).toContain(report.count.toLocaleString("en-US"));
    report.count = 123_456;
    report.verdict.text = "something new";
    report.endpoints.push({ ...endpoint(20), name: "/came/later", worse: 1000 });
    report.timeline.push(moment(11));
    await page.getByText("123,456").waitFor();
    expect(await page.locator("h1").textContent()).toBe("something new");
    await page.locator(".name", { hasText: "/came/later" }).click();
    await page.locator(".opened canvas").waitFor();
    report.isRunning = false;
    await web.close();
    await page.getByText("the run is over").waitFor();
    expect(foreign()).toEqual([]);
  });
});
