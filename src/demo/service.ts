/** The service of the demo: answers HTTP and counts the request numbers that arrive. */

export interface Served {
  /** Requests answered. */
  received: number;
  /** Different request numbers among them. */
  distinct: number;
  /** Requests with a number that no client sends. */
  foreign: number;
}

/** Numbers from 0 that a client of the demo may use. */
const NUMBERS = 1 << 20;
const REPORT_MILLISECONDS = 20;

/**
 * Listens on every IPv4 address and prints a `Served` per line, every 20 ms, until standard input ends. At SIGTERM it serves
 * what has arrived, prints a last one and ends.
 */
export function runService(port: number): void {
  const seen = new Uint8Array(NUMBERS);
  const served: Served = { received: 0, distinct: 0, foreign: 0 };
  Bun.serve({
    port,
    hostname: "0.0.0.0",
    // On a slow machine a connection rests for long between two requests.
    idleTimeout: 0,
    fetch(request) {
      const path = new URL(request.url).pathname;
      const number = /^\/\d+$/.test(path) ? Number(path.slice(1)) : NUMBERS;
      served.received++;
      if (number >= NUMBERS) served.foreign++;
      else if (!seen[number]) {
        seen[number] = 1;
        served.distinct++;
      }
      return new Response(`this is request ${path}\n`);
    },
  });
  const print = () => console.log(JSON.stringify(served));
  setInterval(print, REPORT_MILLISECONDS);
  process.on("SIGTERM", () =>
    setTimeout(() => {
      print();
      process.exit(0);
    }, REPORT_MILLISECONDS),
  );
  process.stdin.on("end", () => process.exit(0)).resume();
}
