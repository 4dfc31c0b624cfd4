/**
 * Clients of the target that have nothing to do with xcopy: short connections one after the other, and a health check on a
 * connection that stays, every 100 ms. usage: bun visitors.ts URL. After each check, and at SIGTERM for the last time, it
 * prints how it went as JSON. A visit that is never answered keeps it from its end.
 */
export {};

const url = process.argv[2]!;
/** ms between two checks. */
const INTERVAL = 100;

const result = { short: 0, checks: 0, failures: [] as string[] };
let ends = false;
process.on("SIGTERM", () => {
  ends = true;
});

async function visit(path: string, headers: Record<string, string>): Promise<void> {
  try {
    const response = await fetch(url + path, { headers });
    await response.text();
    if (response.status !== 200) result.failures.push(`${path}: ${response.status}`);
  } catch (error) {
    result.failures.push(`${path} after ${result.short} and ${result.checks}: ${error}`);
  }
}

async function visitAgainAndAgain(): Promise<void> {
  for (; !ends; result.short++) {
    await visit("/visitor/short", { connection: "close" });
    await Bun.sleep(5);
  }
}

async function check(): Promise<void> {
  for (; !ends; result.checks++) {
    await visit("/visitor/check", {});
    console.log(JSON.stringify(result));
    await Bun.sleep(INTERVAL);
  }
}

console.log("visiting");
await Promise.all([visitAgainAndAgain(), check()]);
console.log(JSON.stringify(result));
