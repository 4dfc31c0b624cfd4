/** Messages of a netfilter queue, and the packets in them. */
import { locate } from "../../../src/intercept/data-plane/nfqueue.ts";
import { libc } from "../../../src/native/libc.ts";
import { QueueSocket } from "../../../src/native/nfqueue.ts";
import { IP_OK, IpHeader, parseIp } from "../../../src/wire/ip-header.ts";
import { Packet } from "../../../src/wire/packet.ts";
import { expectThat, type Target } from "../target.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
const MOST_MESSAGES = 4;
const LONGEST = 1024;

/** Each message of an input begins with its length, 2 bytes. */
export const target: Target = {
  about:
    "messages of a netfilter queue: ids, lengths and headers within the message, the same whatever was received before",
  longest: 4096,
  rounds: 2500,
  words: [
    "\x00\x03",
    "\x0b\0\x01\0\0\0\0\x01\x08\0\x01",
    "\x08\0\x0d\0\0\0\x05\xdc",
    "\x0a\0",
    "E\0\0\x28",
    "\x60\0\0\0\0\x14\x06\x40",
  ],

  take(input) {
    const [one, other] = [0x00, 0x45].map((filler) => receive(input, filler));
    expectThat(one === other, () => `It reads what is not the message's: ${one} or ${other}`);
    return one!;
  },
};

let opened: { fd: number; name: Uint8Array; socket: QueueSocket } | null = null;

/** A queue whose messages come from here: a socket that sends to itself. */
function open() {
  if (opened !== null) return opened;
  const fd = Number(libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0));
  // struct sockaddr_un with an abstract name.
  const name = Uint8Array.from([AF_UNIX, 0, 0, ...Buffer.from(`xcopy-fuzz-${process.pid}-${fd}`)]);
  expectThat(fd >= 0 && libc.bind(fd, name, name.length) === 0, () => "There is no socket");
  opened = { fd, name, socket: new QueueSocket(fd, 0) };
  return opened;
}

function receive(input: Uint8Array, filler: number): string {
  const { fd, name, socket } = open();
  const sizes: number[] = [];
  for (let at = 0; at + 2 <= input.length && sizes.length < MOST_MESSAGES; ) {
    const size = Math.min((input[at]! << 8) | input[at + 1]!, LONGEST, input.length - at - 2);
    const message = Uint8Array.from(input.subarray(at + 2, at + 2 + size));
    // A message of no bytes does not come.
    if (size > 0 && Number(libc.sendto(fd, message, size, 0, name, name.length)) === size) sizes.push(size);
    at += 2 + size;
  }
  const slot = socket.bytes.length / 64;
  for (let i = 0; i < MOST_MESSAGES; i++) socket.bytes.fill(filler, i * slot, i * slot + 2 * LONGEST);
  const count = sizes.length > 0 ? socket.receive(64) : 0;
  expectThat(count === sizes.length, () => `${count} messages of ${sizes.length} came`);
  const packet = new Packet(socket.bytes);
  return sizes.map((size, i) => readOne(socket, packet, i, i * slot, i * slot + size)).join();
}

function readOne(socket: QueueSocket, packet: Packet, message: number, from: number, to: number): string {
  const refused = socket.refused;
  if (!socket.read(message)) return socket.refused > refused ? "refused" : "none";
  const { id, ip, captured, length } = socket;
  expectThat(
    captured === 0 || (ip >= from && ip + captured <= to),
    () => `A packet from ${ip - from} to ${ip - from + captured} of ${to - from}`,
  );
  expectThat(length >= captured && id >= 0, () => `${captured} of ${length} bytes`);
  if (captured === 0) return "bare";
  if (!locate(packet, ip, captured, length)) return "elsewhere";
  const { tcp, payload, end } = packet;
  expectThat(
    ip < tcp && tcp < payload && payload <= end && end === ip + captured,
    () => `Headers at ${tcp - ip}, ${payload - ip} of ${captured}`,
  );
  expectThat(
    packet.length === length - (payload - ip) && packet.length >= 0,
    () => `A payload of ${packet.length}`,
  );
  const header = new IpHeader();
  expectThat(
    parseIp(packet.view, ip, end, ip + length, header) === IP_OK && header.transport === tcp,
    () => "Another header",
  );
  return `${header.family} ${header.protocol} ${id > 0}`;
}
