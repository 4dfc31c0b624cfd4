/** What is known of a target by its first words, or by none. */
import { afterEach, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { readGreeting } from "../../src/doctor/way/greeting.ts";

let server: Server | undefined;
afterEach(() => {
  server?.close();
});

/** The port of a server that treats each connection so. */
function serve(treat: (socket: Socket) => void): Promise<number> {
  const made = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    treat(socket);
  });
  server = made;
  return new Promise((resolve) =>
    made.listen(0, "127.0.0.1", () => resolve((made.address() as { port: number }).port)),
  );
}

test.each<[string, (socket: Socket) => void, object]>([
  ["closes", (socket) => socket.end(), { protocol: null, isFirst: false, isClosed: true }],
  ["resets", (socket) => socket.resetAndDestroy(), { protocol: null, isFirst: false, isClosed: true }],
  ["greets", (socket) => socket.write("SSH-2.0-x\r\n"), { protocol: "SSH", isFirst: true }],
  ["waits", () => {}, { protocol: null, isFirst: false }],
])("a target that %s", async (_, treat, expected) => {
  expect(await readGreeting("127.0.0.1", await serve(treat))).toEqual(expected as never);
});

test("a target that takes no second connection has not closed one", async () => {
  const port = await serve(() => {});
  await new Promise((resolve) => server!.close(resolve));
  expect(await readGreeting("127.0.0.1", port)).toEqual({ protocol: null, isFirst: false });
});
