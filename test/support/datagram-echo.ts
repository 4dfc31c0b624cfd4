/** A UDP server that sends back what it gets: prints length and digest of each datagram, or with "count" their number at the end. */
const [address, port, isCounting] = process.argv.slice(2);
let count = 0;

await Bun.udpSocket({
  hostname: address!,
  port: Number(port),
  socket: {
    data(socket, data, fromPort, fromAddress) {
      count++;
      socket.send(data, fromPort, fromAddress);
      if (!isCounting)
        console.log(`${data.length} ${Bun.hash(data).toString(16)} ${fromAddress} ${fromPort}`);
    },
  },
});
process.on("SIGTERM", () => {
  if (isCounting) console.log(`${count}`);
  process.exit(0);
});
console.log("ready");

export {};
