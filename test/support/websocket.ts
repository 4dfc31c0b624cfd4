/**
 * A websocket service; run as `bun websocket.ts PORT MODE` in a namespace. MODE: "echo" sends every message back; "push"
 * answers none and sends messages of its own all the time; "silent" sends nothing. When a connection is closed it prints
 * the path it was opened with, the number of messages it got, and their md5.
 */
const [port, mode] = process.argv.slice(2);

/** ms between two messages of "push". */
const INTERVAL = 5;
const PUSHED = "p".repeat(700);

interface Connection {
  path: string;
  messages: number;
  hash: Bun.CryptoHasher;
  timer?: Timer;
}

Bun.serve<Connection>({
  port: Number(port),
  hostname: "::",
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    const data = { path, messages: 0, hash: new Bun.CryptoHasher("md5") };
    return server.upgrade(request, { data }) ? undefined : new Response("no upgrade", { status: 400 });
  },
  websocket: {
    open(socket) {
      if (mode === "push") socket.data.timer = setInterval(() => socket.send(PUSHED), INTERVAL);
    },
    message(socket, message) {
      socket.data.messages++;
      socket.data.hash.update(message);
      if (mode === "echo") socket.send(message);
    },
    close({ data }) {
      clearInterval(data.timer);
      console.log(`${data.path} ${data.messages} ${data.hash.digest("hex")}`);
    },
  },
});
console.log("listening");

// A module of its own, not a script in the global scope.
export {};
