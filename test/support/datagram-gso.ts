/**
 * Sends so many datagrams of so many bytes as one packet (UDP_SEGMENT, linux/udp.h); run as
 * `bun datagram-gso.ts IPV4 PORT COUNT BYTES` in a namespace. Prints "sent" and stays, for the answers, until it is ended.
 */
import { parseAddress } from "../../src/config/address.ts";
import { AF_INET, address, errno, libc, SOCK_DGRAM, strerror } from "../../src/native/libc.ts";

const SOL_UDP = 17;
const UDP_SEGMENT = 103;

const [host, port, count, bytes] = process.argv.slice(2);

function check(result: number, what: string): void {
  if (result < 0) throw new Error(`Cannot ${what}: ${strerror(errno())}`);
}

const socket = Number(libc.socket(AF_INET, SOCK_DGRAM, 0));
check(socket, "open a socket");
const size = new Uint32Array(new ArrayBuffer(4)).fill(Number(bytes));
check(libc.setsockopt(socket, SOL_UDP, UDP_SEGMENT, address(size), 4), "set UDP_SEGMENT");
const to = new DataView(new ArrayBuffer(16)); // struct sockaddr_in
to.setUint16(0, AF_INET, true);
to.setUint16(2, Number(port));
new Uint8Array(to.buffer).set(parseAddress(host!)!.bytes, 4);
check(libc.connect(socket, address(to), 16), "connect");
const payload = Uint8Array.from({ length: Number(count) * Number(bytes) }, (_, at) => at >> 3);
check(Number(libc.sendto(socket, address(payload), payload.length, 0, null, 0)), "send");
console.log("sent");
setInterval(() => {}, 60_000);
