/** One Chromium for the tests of the page. */
import { type Browser, chromium, type Page } from "playwright-core";

/** Where Debian's package puts it. */
export const CHROMIUM = "/usr/bin/chromium";

/** Without the connections that Chromium makes for itself. */
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

export interface Look {
  width?: number;
  scheme?: "light" | "dark";
}

/** The one page of the browser, at this address, and all that went wrong in it: errors, messages of the console, requests to anywhere but `address`, dialogs. */
export async function openPage(
  browser: Browser,
  address: string,
  { width = 1600, scheme = "light" }: Look = {},
): Promise<{ page: Page; faults: string[] }> {
  const page = browser.contexts()[0]?.pages()[0] ?? (await browser.newPage());
  page.removeAllListeners();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => faults.push(`console: ${message.text()}`));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(address) && !url.startsWith("data:")) faults.push(`request: ${url}`);
  });
  await page.emulateMedia({ colorScheme: scheme, media: "screen" });
  await page.setViewportSize({ width, height: 900 });
  await page.goto(address);
  await page.locator("table.main").waitFor();
  return { page, faults };
}
