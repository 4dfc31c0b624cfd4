/**
 * An HTTP service that halts in the middle of each answer; run as `bun halting.ts PORT MILLISECONDS [BYTES]` in a namespace:
 * so many bytes come before it halts. It says the number of each request of a connection, "early" for one that comes before
 * the answer to the one before has ended.
 */
import type { Socket } from "bun";

const [port, milliseconds, bytes = "5"] = process.argv.slice(2);
const size = Number(bytes);
const FIRST = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${"x".repeat(size)}\r\n`;
const REST = "6\r\nsecond\r\n0\r\n\r\n";

interface State {
  number: number;
  isAnswering: boolean;
  /** There is room for more. */
  onRoom: () => void;
}

async function send(socket: Socket<State>, text: string): Promise<void> {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    const room = new Promise<void>((resolve) => {
      socket.data.onRoom = resolve;
    });
    rest = rest.subarray(socket.write(rest));
    if (rest.length > 0) await room;
  }
}

Bun.listen<State>({
  hostname: "::",
  port: Number(port),
  socket: {
    open(socket) {
      socket.data = { number: 0, isAnswering: false, onRoom: () => {} };
    },
    drain: (socket) => socket.data.onRoom(),
    async data(socket) {
      const state = socket.data;
      console.log(state.isAnswering ? "early" : `${++state.number}`);
      state.isAnswering = true;
      await send(socket, FIRST);
      await Bun.sleep(Number(milliseconds));
      await send(socket, REST);
      state.isAnswering = false;
    },
  },
});
console.log("listening");
