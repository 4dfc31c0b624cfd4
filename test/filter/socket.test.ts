/** A filter on a packet socket. */
import { expect, test } from "bun:test";
import { compileFilter } from "../../src/filter/compile.ts";
import { attachSocketFilter } from "../../src/filter/socket.ts";
import { AF_INET, AF_PACKET, libc, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW } from "../../src/native/libc.ts";
import { Namespace } from "../bpf/namespace.ts";

const ETH_P_ALL = 0x0003;

function datagram(socket: number, port: number): void {
  const to = new Uint8Array(new ArrayBuffer(16)); // struct sockaddr_in
  to.set([AF_INET, 0, port >> 8, port & 0xff, 127, 0, 0, 1]);
  const payload = new Uint8Array(new ArrayBuffer(4));
  expect(Number(libc.sendto(socket, payload, payload.length, 0, to, to.length))).toBe(4);
}

test("a packet socket gets the packets that match", () => {
  const namespace = new Namespace();
  const [packets, sender] = namespace.enter(() => [
    libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8)),
    libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
  ]) as [number, number];
  try {
    attachSocketFilter(packets, compileFilter("udp and dst port 7001", "ethernet").instructions);
    datagram(sender, 7000);
    datagram(sender, 7001);
    const packet = new Uint8Array(new ArrayBuffer(2048));
    const length = Number(libc.recv(packets, packet, packet.length, 0));
    expect(length).toBe(14 + 20 + 8 + 4);
    expect([...packet.subarray(36, 38)]).toEqual([7001 >> 8, 7001 & 0xff]);
  } finally {
    libc.close(packets);
    libc.close(sender);
    namespace.remove();
  }
});

test("a bad descriptor and a filter that is too long are refused", () => {
  expect(() => attachSocketFilter(0xffff, compileFilter("tcp", "ethernet").instructions)).toThrow(
    "Cannot attach the filter to a socket: bad file descriptor",
  );
  const nothing = new Uint8Array(new ArrayBuffer(8 * 4097));
  expect(() => attachSocketFilter(0xffff, nothing)).toThrow("it has 4097 instructions");
});
