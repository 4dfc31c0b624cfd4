/** A client that is not there: packets with its address from a raw socket, answers from the records of the intercept. */
import { IPPROTO_IP, IPPROTO_IPV6, IPPROTO_RAW, libc, SOCK_RAW } from "../../src/native/libc.ts";
import { finishTcpChecksum, wordsOf } from "../../src/wire/checksum.ts";
import { ACK, build, bytesOf, FIN, type Frame, PSH, SYN } from "../bpf/build.ts";
import type { Captured } from "../bpf/capture.ts";
import { enterNamespace } from "../bpf/namespace.ts";
import { until } from "../support/until.ts";
import { COOKIE, cookieOption } from "./load.ts";

const AF = { 4: 2, 6: 10 };
const HDRINCL = { 4: 3, 6: 36 };

/** The IP packet of a frame, its TCP checksum in place. */
export function packetOf(frame: Frame): Uint8Array {
  const { ip } = build(frame);
  const packet = new Uint8Array(new ArrayBuffer(ip.length));
  packet.set(ip);
  const isIpv6 = packet[0]! >> 4 === 6;
  const tcp = isIpv6 ? 40 : (packet[0]! & 15) * 4;
  const addresses = packet.subarray(isIpv6 ? 8 : 12, isIpv6 ? 40 : 20);
  const length = packet.length - tcp;
  let pseudo = length + 6;
  for (let at = 0; at < addresses.length; at += 2) pseudo += (addresses[at]! << 8) | addresses[at + 1]!;
  while (pseudo > 0xffff) pseudo = (pseudo & 0xffff) + (pseudo >> 16);
  packet.set([pseudo >> 8, pseudo & 255], tcp + 16);
  finishTcpChecksum(wordsOf(packet), tcp, length);
  return packet;
}

/** Sends IP packets from a namespace as they are. */
export class Forger {
  readonly #fds: Record<4 | 6, number>;

  constructor(namespace: string) {
    const open = (family: 4 | 6) => {
      const fd = Number(libc.socket(AF[family], SOCK_RAW, IPPROTO_RAW));
      const level = family === 4 ? IPPROTO_IP : IPPROTO_IPV6;
      libc.setsockopt(fd, level, HDRINCL[family], Int32Array.of(1), 4);
      return fd;
    };
    this.#fds = enterNamespace(namespace, () => ({ 4: open(4), 6: open(6) }));
  }

  send(frame: Frame): void {
    const family = frame.destination!.includes(":") ? 6 : 4;
    const name = new Uint8Array(new ArrayBuffer(family === 4 ? 16 : 28));
    name[0] = AF[family];
    name.set(bytesOf(frame.destination!), family === 4 ? 4 : 8);
    const packet = packetOf(frame);
    const sent = Number(libc.sendto(this.#fds[family], packet, packet.length, 0, name, name.length));
    if (sent !== packet.length) throw new Error("Cannot send a forged packet");
  }

  close(): void {
    for (const fd of Object.values(this.#fds)) libc.close(fd);
  }
}

/** One connection of such a client. */
export class ForgedClient {
  /** All that the server sent, as the intercept saw it. */
  readonly records: Captured[] = [];
  /** Bytes of payload in order, and those that came out of order or once more. */
  received = 0;
  again = 0;
  finished = false;
  #seq = 1000;
  #ack = 0;
  readonly #forger: Forger;
  readonly #frame: Frame;
  readonly #take: () => Captured[];

  /** `take` gives new records of this connection. */
  constructor(forger: Forger, frame: Frame, take: () => Captured[]) {
    this.#forger = forger;
    this.#frame = frame;
    this.#take = take;
  }

  /** Sends the SYN. */
  open(cookie: Uint8Array | null = COOKIE): void {
    const mss = [2, 4, 5, 180, 1, 3, 3, 7];
    const options = cookie ? [...mss, ...cookieOption(cookie)] : mss;
    this.#forger.send({ ...this.#frame, flags: SYN, seq: this.#seq, options });
  }

  /** Sends the SYN, and the last packet of the handshake when the answer is there. */
  async connect(): Promise<void> {
    this.open();
    await this.until("the SYN-ACK", () => this.#ack !== 0);
    this.#seq++;
    this.#acknowledge();
  }

  request(path: string): void {
    const payload = `GET ${path} HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n`;
    this.#forger.send({ ...this.#frame, flags: ACK | PSH, seq: this.#seq, ack: this.#ack, payload });
    this.#seq += payload.length;
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    await until(what, () => {
      this.#read();
      return condition();
    });
  }

  #acknowledge(): void {
    this.#forger.send({ ...this.#frame, flags: ACK, seq: this.#seq, ack: this.#ack, window: 65535 });
  }

  #read(): void {
    const taken = this.#take();
    this.records.push(...taken);
    for (const { bytes, tcp, length } of taken) {
      const view = new DataView(bytes.buffer);
      const seq = view.getUint32(tcp + 4);
      const flags = bytes[tcp + 13]!;
      if (flags & SYN) {
        this.#ack = (seq + 1) >>> 0;
      } else if (seq === this.#ack) {
        this.received += length;
        this.#ack = (this.#ack + length + (flags & FIN ? 1 : 0)) >>> 0;
        if (flags & FIN) this.finished = true;
        if (length > 0) this.#acknowledge();
      } else {
        this.again += length;
      }
    }
  }
}
