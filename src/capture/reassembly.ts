/** Puts captured fragments together, and finds the service that the whole packet goes to. */
import { readAddress, SOURCE } from "../wire/address-words.ts";
import { Fragments } from "../wire/fragments.ts";
import { IPPROTO_TCP } from "../wire/ip.ts";
import { IP_OK, IpHeader, parseIp } from "../wire/ip-header.ts";
import { Packet } from "../wire/packet.ts";
import { workerOfClient } from "../wire/shard.ts";
import { UDP_HEADER } from "../wire/udp.ts";
import type { Services } from "./services.ts";

const TCP_HEADER = 20;

export class Reassembly {
  /** Fragments taken so far. */
  captured = 0;
  readonly #fragments = new Fragments();
  readonly #header = new IpHeader();
  readonly #whole = new Packet(new Uint8Array(0));

  #elsewhere = 0;
  readonly #client = new Int32Array(4);

  /**
   * `protocol`: that of `services`, IPPROTO_TCP or IPPROTO_UDP. `worker`: which of how many reads the fragments; a request of
   * another one's flow is counted as incomplete.
   */
  constructor(
    private readonly services: Services,
    private readonly protocol: number,
    private readonly worker: { index: number; count: number } = { index: 0, count: 1 },
  ) {}

  /** Packets given up because a fragment did not come in 30 s, or because there were too many; and those that overlapped. */
  get incomplete(): number {
    return this.#fragments.incomplete + this.#elsewhere;
  }
  get overlapping(): number {
    return this.#fragments.overlapping;
  }

  /**
   * Takes a fragment. Returns the request that it completes, valid until the next call, with the `index` of its service; null if
   * it completes none.
   */
  take(packet: Packet): Packet | null {
    this.captured++;
    const header = this.#header;
    const fragments = this.#fragments;
    const wireEnd = packet.payload + packet.length;
    if (parseIp(packet.view, packet.ip, packet.end, wireEnd, header) !== IP_OK || !header.isFragment)
      return null;
    if (!fragments.add(packet.bytes, packet.view, header, packet.time)) return null;
    const { bytes, view, ip, end } = fragments;
    if (parseIp(view, ip, end, fragments.wireEnd, header) !== IP_OK || header.protocol !== this.protocol)
      return null;
    const { transport } = header;
    const payload = this.#payload(view);
    if (payload > header.end) return null;
    const service = this.services.find(view, header, view.getUint16(transport + 2));
    if (service < 0) return null;
    const whole = this.#whole;
    whole.bytes = bytes;
    whole.view = view;
    whole.ip = ip;
    whole.tcp = transport;
    whole.payload = payload;
    whole.end = header.end;
    whole.length = ip + header.length - payload;
    whole.time = packet.time;
    whole.think = -1;
    whole.index = service;
    whole.ifindex = packet.ifindex;
    if (this.#isOurs()) return whole;
    this.#elsewhere++;
    return null;
  }

  /** Gives up what is not complete. */
  clear(): void {
    this.#fragments.clear();
  }

  /** Whether the flow of the whole packet is this worker's. Datagrams go by the client's address alone. */
  #isOurs(): boolean {
    const { index, count } = this.worker;
    if (count === 1 || this.protocol !== IPPROTO_TCP) return true;
    readAddress(this.#whole, SOURCE, this.#client, 0);
    return workerOfClient(this.#client, 0, this.#whole.sourcePort, count) === index;
  }

  /** Offset of the payload of the whole packet; Infinity if its header is malformed or cut. */
  #payload(view: DataView): number {
    const { transport, end } = this.#header;
    if (this.protocol !== IPPROTO_TCP) return transport + UDP_HEADER;
    if (transport + TCP_HEADER > end) return Infinity;
    const size = (view.getUint8(transport + 12) >> 4) * 4;
    return size < TCP_HEADER ? Infinity : transport + size;
  }
}
