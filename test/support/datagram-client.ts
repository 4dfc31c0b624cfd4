/** Sends datagrams of each size, one after the other's echo, from one socket; prints length and digest of each echo. */
const [address, port, ...sizes] = process.argv.slice(2);
let echoed = Promise.withResolvers<void>();

const socket = await Bun.udpSocket({
  hostname: address!.includes(":") ? "::" : "0.0.0.0",
  connect: { hostname: address!, port: Number(port) },
  socket: {
    data(_, data) {
      console.log(`${data.length} ${Bun.hash(data).toString(16)}`);
      echoed.resolve();
    },
  },
});
for (const [index, size] of sizes.entries()) {
  echoed = Promise.withResolvers();
  socket.send(Uint8Array.from({ length: Number(size) }, (_, at) => at * 7 + (at >> 8) + index));
  await echoed.promise;
}
process.exit(0);

export {};
