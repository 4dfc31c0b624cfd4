/**
 * A service at several ports that answers whatever comes as HTTP/1 does; run as `bun serve.ts PORT[=HOST:PORT|=tls|=close|=local] ...` in a
 * namespace. With an endpoint behind it a port passes on every connection to there, as a proxy of TCP; with "tls" it speaks TLS; with
 * "close" it closes each connection at once; with "local" it is a port of 127.0.0.1 only.
 */
import { connect, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

const BODY = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Ends with its other half. */
function bind(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

await Promise.all(
  process.argv.slice(2).map((word) => {
    const [port, behind] = word.split("=");
    // Without a certificate it answers each handshake with an alert.
    if (behind === "tls")
      return new Promise<void>((resolve) => createTlsServer({}).listen(Number(port), "::", resolve));
    const server = createServer((socket) => {
      if (behind === "close") {
        socket.destroy();
        return;
      }
      if (behind && behind !== "local") {
        const [host, to] = behind.split(":");
        const other = connect(Number(to), host);
        bind(socket, other);
        socket.pipe(other).pipe(socket);
        return;
      }
      socket.on("error", () => socket.destroy());
      socket.on("data", () => socket.write(BODY));
    });
    return new Promise<void>((resolve) =>
      server.listen(Number(port), behind === "local" ? "127.0.0.1" : "::", resolve),
    );
  }),
);
console.log("listening");
