/** Whether later fragments are ours, which have no ports: as their first fragment was. The rules of bpf/packet/datagram.h. */
import type { IpHeader } from "../../wire/ip-header.ts";
import type { Packet } from "../../wire/packet.ts";

/** How many fragmented datagrams are remembered, and for how long (us): fragments follow each other closely. */
const MOST = 4096;
const WINDOW = 1_000_000;

export class LaterFragments {
  /** By addresses and identification; the oldest first. */
  readonly #entries = new Map<string, { time: number; isOurs: boolean }>();

  /** When the first fragment comes: remembers whether the later ones are ours. */
  remember(packet: Packet, header: IpHeader, isOurs: boolean): void {
    const key = keyOf(packet, header);
    this.#entries.delete(key);
    if (this.#entries.size === MOST) this.#entries.delete(this.#entries.keys().next().value!);
    this.#entries.set(key, { time: packet.time, isOurs });
  }

  /** Whether a later fragment is ours; `otherwise` if its first one has not come. */
  recall(packet: Packet, header: IpHeader, otherwise: boolean): boolean {
    const first = this.#entries.get(keyOf(packet, header));
    return first && packet.time - first.time < WINDOW ? first.isOurs : otherwise;
  }
}

function keyOf({ bytes }: Packet, { ip, family, id }: IpHeader): string {
  const from = ip + (family === 4 ? 12 : 8);
  const addresses = bytes.subarray(from, from + (family === 4 ? 8 : 32));
  return `${id} ${addresses}`;
}
