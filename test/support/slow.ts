/**
 * An HTTP service that answers each request after a delay, with BYTES bytes (5); run as
 * `bun slow.ts PORT MILLISECONDS [BYTES]` in a namespace. Prints the path of each request when it comes.
 */
const [port, milliseconds, bytes = "5"] = process.argv.slice(2);
const body = "late\n".repeat(Math.ceil(Number(bytes) / 5)).slice(0, Number(bytes));

Bun.serve({
  port: Number(port),
  hostname: "::",
  idleTimeout: 0,
  async fetch({ url }) {
    console.log(new URL(url).pathname);
    if (Number(milliseconds) > 0) await Bun.sleep(Number(milliseconds));
    return new Response(body);
  },
});
console.log("listening");

// A module of its own, not a script in the global scope.
export {};
