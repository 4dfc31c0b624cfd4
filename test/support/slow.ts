/** An HTTP service that answers each request after a delay; run as `bun slow.ts PORT MILLISECONDS` in a namespace. */
const [port, milliseconds] = process.argv.slice(2);

Bun.serve({
  port: Number(port),
  hostname: "::",
  idleTimeout: 0,
  async fetch() {
    await Bun.sleep(Number(milliseconds));
    return new Response("late\n");
  },
});
console.log("listening");

// A module of its own, not a script in the global scope.
export {};
