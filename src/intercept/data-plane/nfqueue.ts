/** Responses from a netfilter queue: each is handed to a sink, which says whether it was caught. */
import { UNKNOWN_INDEX } from "../../capture/record-index.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import { ACCEPT, BATCH, DROP, HEADERS, QueueSocket, WHOLE } from "../../native/nfqueue.ts";
import { IPPROTO_TCP } from "../../wire/ip.ts";
import { IP_OK, IpHeader, parseIp } from "../../wire/ip-header.ts";
import { Packet } from "../../wire/packet.ts";
import { IPPROTO_UDP, UDP_HEADER } from "../../wire/udp.ts";

const MIN_TCP = 20;
/** ICMP (RFC 792) and ICMPv6 (RFC 4443): "destination unreachable", and what is in front of the packet it quotes. */
const ICMP = { protocol: 1, unreachable: 3 };
const ICMP6 = { protocol: 58, unreachable: 1 };
const ICMP_HEADER = 8;

/**
 * Reads one queue. Every packet gets its verdict during the `drain` that hands it out: dropped if the sink caught it,
 * else accepted. Counters are of packets, since the start.
 */
export class QueueSource {
  /** For epoll: readable while packets wait. */
  readonly fd: number;
  packets = 0;
  caught = 0;
  /** Accepted without being shown to the sink: no whole TCP or UDP header in what was captured. */
  unreadable = 0;

  readonly #socket: QueueSocket;
  readonly #packet: Packet;

  /**
   * `fd` and `queue` as with `openQueue`. The caller closes `fd`, which nobody else reads. `isAboutCopy`: whether
   * an ICMP error is to be dropped that quotes this packet, of which only the ports are certain.
   */
  constructor(
    fd: number,
    queue: number,
    private readonly isAboutCopy: (quoted: Packet) => boolean = () => false,
  ) {
    this.fd = fd;
    this.#socket = new QueueSocket(fd, queue);
    this.#packet = new Packet(this.#socket.bytes);
    this.#packet.index = UNKNOWN_INDEX;
  }

  /** Times the kernel found the receive buffer full; the packets lost by that are `lost` of `readStatistics`. */
  get overruns(): number {
    return this.#socket.overruns;
  }

  /** Whether packets come with payload from now on, as far as a message of the kernel can hold it. At first they do not. */
  setRead(isRead: boolean): void {
    this.#socket.setCopyRange(isRead ? WHOLE : HEADERS);
  }

  /** Verdicts about packets that were gone already. */
  get refused(): number {
    return this.#socket.refused;
  }

  /**
   * Hands up to `limit` waiting packets to `sink` in their order and returns how many there were. The packet is the same
   * object each time, its `time` (us) when it was read here, and valid only during the call. The sink returns true if it
   * caught the packet, which is then dropped; it must not throw, or packets get the verdict of later ones.
   */
  drain(sink: (packet: Packet) => boolean, limit: number): number {
    const socket = this.#socket;
    let done = 0;
    let count = BATCH;
    // A batch that is not full was all there was.
    while (done < limit && count === BATCH) {
      count = socket.receive(limit - done);
      if (count === 0) break;
      this.#packet.time = monotonicMicroseconds();
      for (let message = 0; message < count; message++) {
        if (!socket.read(message)) continue;
        done++;
        socket.verdict(socket.id, this.#isCaught(sink) ? DROP : ACCEPT);
      }
      socket.flush();
    }
    this.packets += done;
    return done;
  }

  #isCaught(sink: (packet: Packet) => boolean): boolean {
    const { ip, captured, length } = this.#socket;
    if (!locate(this.#packet, ip, captured, length)) {
      const isError = locateQuoted(this.#packet, ip, captured);
      if (isError && this.isAboutCopy(this.#packet)) return true;
      if (!isError) this.unreadable++;
      return false;
    }
    if (!sink(this.#packet)) return false;
    this.caught++;
    return true;
  }
}

const header = new IpHeader();

/**
 * Sets the offsets of `packet` for the IP packet at `ip` in its bytes, of which `captured` bytes are there and `length`
 * were on the wire. `length` is the kernel's own: the IP header cannot say it for packets above 64 KiB (BIG TCP). False
 * if it is neither TCP nor UDP, or its headers are not whole: a later fragment, or cut off.
 */
export function locate(packet: Packet, ip: number, captured: number, length: number): boolean {
  const end = ip + captured;
  if (parseIp(packet.view, ip, end, ip + length, header) !== IP_OK) return false;
  const { protocol, transport } = header;
  if (
    (header.isFragment && header.fragmentOffset > 0) ||
    (protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP)
  )
    return false;
  const least = protocol === IPPROTO_UDP ? UDP_HEADER : MIN_TCP;
  if (transport + least > end) return false;
  packet.ip = ip;
  packet.tcp = transport;
  packet.end = end;
  const headers = protocol === IPPROTO_UDP ? UDP_HEADER : packet.headerLength;
  packet.payload = transport + headers;
  packet.length = length - (packet.payload - ip);
  return headers >= least && packet.payload <= end && packet.length >= 0;
}

/** The same for the packet that an ICMP message at `ip` quotes; false if that is not "destination unreachable". */
function locateQuoted(packet: Packet, ip: number, captured: number): boolean {
  const end = ip + captured;
  if (parseIp(packet.view, ip, end, end, header) !== IP_OK) return false;
  const { protocol, unreachable } = header.family === 4 ? ICMP : ICMP6;
  const quoted = header.transport + ICMP_HEADER;
  if (header.protocol !== protocol || quoted > end) return false;
  return packet.bytes[header.transport] === unreachable && locate(packet, quoted, end - quoted, 65_535);
}
