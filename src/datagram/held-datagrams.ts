/** Datagrams that are kept, with a copy of their bytes, while a path is held: bounded in number, bytes and time. */
import { Packet } from "../wire/packet.ts";

const MOST = 4096;
const MOST_BYTES = 8 << 20;
/** Longest wait, us; a restarted intercept is back earlier. */
const SPAN = 3_000_000;

interface HeldDatagram {
  packet: Packet;
  service: number;
  since: number;
}

export class HeldDatagrams {
  private readonly held: HeldDatagram[] = [];
  private bytes = 0;

  get isEmpty(): boolean {
    return this.held.length === 0;
  }

  /** Keeps a copy of a datagram; false if a bound is reached. */
  add(packet: Packet, service: number, now: number): boolean {
    const size = packet.end - packet.ip;
    if (this.held.length === MOST || this.bytes + size > MOST_BYTES) return false;
    const copy = new Packet(packet.bytes.slice(packet.ip, packet.end));
    copy.tcp = packet.tcp - packet.ip;
    copy.payload = packet.payload - packet.ip;
    copy.end = size;
    copy.length = packet.length;
    copy.time = packet.time;
    copy.think = packet.think;
    this.held.push({ packet: copy, service, since: now });
    this.bytes += size;
    return true;
  }

  /** Passes datagrams to `sink` in order, up to the first whose service is held and which has not waited for SPAN yet. */
  release(
    isHeld: (service: number) => boolean,
    now: number,
    sink: (packet: Packet, service: number) => void,
  ) {
    while (this.held.length > 0) {
      const { packet, service, since } = this.held[0]!;
      if (isHeld(service) && now - since < SPAN) return;
      this.held.shift();
      this.bytes -= packet.end;
      sink(packet, service);
    }
  }
}
