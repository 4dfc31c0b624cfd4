/**
 * An HTTP service; run as `bun server.ts PORT` in a namespace. It answers /N with N bytes, and /drip with a few bytes
 * every 10 ms, without an end.
 */
const [port] = process.argv.slice(2);

async function* drip() {
  for (;;) {
    yield "drop\n";
    await Bun.sleep(10);
  }
}

Bun.serve({
  port: Number(port),
  hostname: "::",
  idleTimeout: 0,
  fetch(request) {
    const path = new URL(request.url).pathname.slice(1);
    return new Response(path === "drip" ? drip() : "x".repeat(Number(path)));
  },
});
console.log("listening");

// A module of its own, not a script in the global scope.
export {};
