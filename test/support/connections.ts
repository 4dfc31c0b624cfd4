/**
 * A client that holds connections open; run as `bun connections.ts HOST PORT COUNT` in a namespace. Each sends one HTTP
 * request; when all are answered it prints "open" and stays until it is ended.
 */
const [host, port, count] = process.argv.slice(2);

/** Connection attempts at a time: a backlog of the server's takes them. */
const BATCH = 500;

function open(index: number): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const fail = (error: Error) => answered.reject(error);
  Bun.connect({
    hostname: host!,
    port: Number(port),
    socket: {
      open: (socket) => {
        socket.write(`GET /held-${process.pid}-${index} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
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

// A module of its own, not a script in the global scope.
export {};
