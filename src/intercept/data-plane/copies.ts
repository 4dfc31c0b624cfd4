/**
 * The copies that are or were connected, each with a slot: the number that stands for it in the kernel's maps. A copy is
 * known by the 8 bytes of its hello; one that comes back gets its slot again, so that what the kernel has learned stays
 * true. Slots are handed out oldest unused first.
 *
 * What a copy has registered, and what the kernel has learned of it, carries its owner: the slot, and how often that has been
 * withdrawn before. So all of it is void at once when the copy is forgotten, and can be cleared away bit by bit.
 */
import type { Packet } from "../../wire/packet.ts";
import type { Prefix } from "../../wire/prefix.ts";
import { isDatagram } from "../../wire/udp.ts";

/** Slots there are: as many as the kernel map `cookies` takes. */
export const SLOTS = 1024;
/** Owners there are: above these 27 bits a record has marks (bpf/record/record.h). The last one stands for no copy: FORMER. */
const OWNERS = 1 << 27;

/** The slot of an owner. */
export function slotOf(owner: number): number {
  return owner & (SLOTS - 1);
}

/** One connection of a copy. */
export interface Receiver {
  /** Whether it is sent what was captured of the payload as well. */
  readonly readsPayload: boolean;
  /** How much of it, of each segment. */
  readonly prefix: Prefix;
  /** Sends it the headers of a response; false if it cannot. The packet is valid during the call. */
  response(packet: Packet): boolean;
}

export interface Forgotten {
  id: string;
  owner: number;
}

/** Whether some of a segment's payload was not captured that is wanted; false for datagrams, whose payload no copy reads. */
function isCut(packet: Packet, { bytes }: Prefix): boolean {
  return packet.end - packet.payload < Math.min(packet.length, bytes) && !isDatagram(packet);
}

export class Copies<R extends Receiver> {
  /** Per slot: responses handed to its connections, and their bytes on the wire. */
  readonly packets = new Float64Array(SLOTS);
  readonly bytes = new Float64Array(SLOTS);
  /** Copies that are connected. */
  count = 0;
  /** Segments not sent to copies that read payload, as part of it was not captured: the target sends them again. */
  cut = 0;
  readonly #ids: (string | null)[] = Array(SLOTS).fill(null);
  readonly #connections: R[][] = Array.from({ length: SLOTS }, () => []);
  readonly #slots = new Map<string, number>();
  /** What stands for the copy in a slot; it changes when the copy is forgotten. */
  readonly #owners = Int32Array.from({ length: SLOTS }, (_, slot) => slot);
  /** When its last connection ended, or below 0 the order of slots that never had one. */
  readonly #unusedSince = Float64Array.from({ length: SLOTS }, (_, slot) => slot - SLOTS);

  /**
   * Takes a connection of the copy `id`. Returns its slot, and the copy that was forgotten for it, with what stood for that
   * (null: none); null if every slot has a connected copy.
   */
  join(id: string, connection: R): { slot: number; before: Forgotten | null } | null {
    let slot = this.#slots.get(id);
    let before: Forgotten | null = null;
    if (slot === undefined) {
      slot = this.#oldestUnused();
      if (slot < 0) return null;
      const other = this.#ids[slot];
      if (other !== null && other !== undefined) before = { id: other, owner: this.#owners[slot]! };
      this.forget(slot);
      this.#ids[slot] = id;
      this.#slots.set(id, slot);
      this.packets[slot] = 0;
      this.bytes[slot] = 0;
    }
    if (this.#connections[slot]!.push(connection) === 1) this.count++;
    return { slot, before };
  }

  /** Reserves a slot that was never used for the copy `id` alone. */
  reserve(id: string, slot: number): void {
    this.#ids[slot] = id;
    this.#slots.set(id, slot);
    this.#unusedSince[slot] = Number.POSITIVE_INFINITY;
  }

  /** Removes a connection. True if it was the last one of its copy. `now`: us. */
  leave(slot: number, connection: R, now: number): boolean {
    const connections = this.#connections[slot]!;
    const at = connections.indexOf(connection);
    if (at < 0) return false;
    connections.splice(at, 1);
    if (connections.length > 0) return false;
    this.count--;
    if (this.#unusedSince[slot] !== Number.POSITIVE_INFINITY) this.#unusedSince[slot] = now;
    return true;
  }

  /** Forgets the copy of a slot, which has no connection: all that it owns belongs to nobody. */
  forget(slot: number): void {
    const id = this.#ids[slot];
    if (id === null || id === undefined) return;
    this.#ids[slot] = null;
    this.#slots.delete(id);
    this.#owners[slot] = (this.#owners[slot]! + SLOTS) % (OWNERS - SLOTS);
  }

  /** The name of the copy in a slot; null if there is none. */
  idOf(slot: number): string | null {
    return this.#ids[slot]!;
  }

  /** What stands for the copy in a slot, until it is forgotten. */
  ownerOf(slot: number): number {
    return this.#owners[slot]!;
  }

  /** Whether an owner has not been forgotten. */
  isCurrent(owner: number): boolean {
    return this.#owners[slotOf(owner)] === owner;
  }

  /** Whether the copy that an owner stands for is connected. */
  isConnected(owner: number): boolean {
    return this.isCurrent(owner) && this.#connections[slotOf(owner)]!.length > 0;
  }

  connectionsOf(slot: number): readonly R[] {
    return this.#connections[slot]!;
  }

  /** Hands a response to one of the owner's connections, always the same for a flow. False if it cannot be sent. */
  deliver(owner: number, packet: Packet): boolean {
    const slot = slotOf(owner);
    if (this.#owners[slot] !== owner) return false;
    const connections = this.#connections[slot];
    const count = connections?.length ?? 0;
    if (count === 0) return false;
    const which = count === 1 ? 0 : (Math.imul(packet.destinationPort, 0x9e3779b1) >>> 16) % count;
    const connection = connections![which]!;
    // Captured before a copy read payload, or too large for a record: the target's retransmission will be whole.
    if (connection.readsPayload && isCut(packet, connection.prefix)) this.cut++;
    else if (!connection.response(packet)) return false;
    this.packets[slot]!++;
    this.bytes[slot]! += packet.payload - packet.ip + packet.length;
    return true;
  }

  #oldestUnused(): number {
    let oldest = -1;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (this.#connections[slot]!.length > 0 || this.#unusedSince[slot] === Number.POSITIVE_INFINITY)
        continue;
      if (oldest < 0 || this.#unusedSince[slot]! < this.#unusedSince[oldest]!) oldest = slot;
    }
    return oldest;
  }
}
