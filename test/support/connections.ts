/**
 * A client that holds connections open; run as `bun connections.ts HOST PORT COUNT [RATE]` in a namespace. Each sends one
 * HTTP request; when all are answered it prints "open" and stays until it is ended. With a rate, so many requests per
 * second follow, by each connection in turn.
 */
const [host, port, count, rate] = process.argv.slice(2);

/** Connection attempts at a time: a backlog of the server's takes them. */
const BATCH = 500;

type Socket = Awaited<ReturnType<typeof Bun.connect>>;

const sockets: Socket[] = [];

function ask(socket: Socket, path: string): void {
  socket.write(`GET /${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
}

function open(index: number): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const fail = (error: Error) => answered.reject(error);
  Bun.connect({
    hostname: host!,
    port: Number(port),
    socket: {
      open: (socket) => {
        sockets.push(socket);
        ask(socket, `held-${process.pid}-${index}`);
      },
      data: () => answered.resolve(),
      error: (_, error) => fail(error),
      connectError: (_, error) => fail(error),
      close: () => fail(new Error("the server closed a connection")),
    },
  });
  return answered.promise;
}

for (let first = 0; first < Number(count); first += BATCH) {
  const size = Math.min(BATCH, Number(count) - first);
  await Promise.all(Array.from({ length: size }, (_, index) => open(first + index)));
}
console.log("open");

if (rate) {
  const began = performance.now();
  let asked = 0;
  setInterval(() => {
    const due = ((performance.now() - began) / 1000) * Number(rate);
    for (; asked < due; asked++) ask(sockets[asked % sockets.length]!, `asked-${process.pid}-${asked}`);
  }, 1);
}

// A module of its own, not a script in the global scope.
export {};
