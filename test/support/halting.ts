/**
 * An HTTP service that halts in the middle of each answer; run as `bun halting.ts PORT MILLISECONDS` in a namespace. It says
 * the number of each request of a connection, "early" for one that comes before the answer to the one before has ended.
 */
const [port, milliseconds] = process.argv.slice(2);

interface State {
  number: number;
  isAnswering: boolean;
}

Bun.listen<State>({
  hostname: "::",
  port: Number(port),
  socket: {
    open(socket) {
      socket.data = { number: 0, isAnswering: false };
    },
    async data(socket) {
      const state = socket.data;
      console.log(state.isAnswering ? "early" : `${++state.number}`);
      state.isAnswering = true;
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
      await Bun.sleep(Number(milliseconds));
      socket.write("6\r\nsecond\r\n0\r\n\r\n");
      state.isAnswering = false;
    },
  },
});
console.log("listening");

// A module of its own, not a script in the global scope.
export {};
