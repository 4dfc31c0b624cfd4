/** Sends two messages to itself over TCP, and prints what arrives. usage: talk.ts PORT */
export {};

const port = Number(process.argv[2]);
let received = "";
const server = Bun.listen({
  hostname: "127.0.0.1",
  port,
  socket: {
    data(socket, bytes) {
      received += bytes.toString();
      if (received === "pass ") socket.write("go on");
      if (received !== "pass DROP") return;
      process.stdout.write(received);
      process.exit();
    },
  },
});
await Bun.connect({
  hostname: "127.0.0.1",
  port: server.port,
  socket: {
    open: (socket) => void socket.write("pass "),
    data: (socket) => void socket.write("DROP"),
  },
});
