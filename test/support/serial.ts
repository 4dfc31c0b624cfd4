/**
 * An HTTP service that works on one request at a time; run as `bun serial.ts PORT MILLISECONDS` in a namespace. Each takes
 * so long. Prints "listening", then the path of each request when it is done.
 */
const [port, milliseconds] = process.argv.slice(2);

let free: Promise<void> = Promise.resolve();

Bun.serve({
  port: Number(port),
  hostname: "::",
  idleTimeout: 0,
  async fetch(request) {
    const before = free;
    const done = Promise.withResolvers<void>();
    free = done.promise;
    await before;
    await Bun.sleep(Number(milliseconds));
    console.log(new URL(request.url).pathname);
    done.resolve();
    return new Response("done\n");
  },
});
console.log("listening");

// A module of its own, not a script in the global scope.
export {};
