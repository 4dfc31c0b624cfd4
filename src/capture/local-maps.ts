/** The maps of bpf/record/local.h: which addresses are this host's, and an example of those that are not. */

import { updateMap } from "../native/bpf/create-map.ts";
import { deleteElement, lookUp } from "../native/bpf/map.ts";
import type { BpfObject } from "../native/bpf/object.ts";
import { AF_INET, AF_INET6 } from "../native/libc.ts";
import type { LocalPrefix } from "../native/netlink/local-prefixes.ts";
import { words } from "./maps.ts";

/** Half of what the maps have room for: what comes is added before what goes is removed. */
export const MOST_LOCAL = { addresses: 32_768, prefixes: 1024 };
const KEY_BYTES = 24;
const SERVICE_BYTES = 20;

/** A destination whose packets were left out, as they only passed through this host. */
export interface Forwarded {
  /** 4 or 16 bytes in network order. */
  address: Uint8Array;
  port: number;
}

/** The maps that programs share. */
export const LOCAL_MAPS = ["local_addresses", "local_prefixes", "forwarded"];

/** Of an object that is loaded. */
export function localMapsOf(object: BpfObject): LocalMaps {
  const [addresses, prefixes, forwarded] = LOCAL_MAPS.map((map) => object.mapFd(map));
  return new LocalMaps(addresses!, prefixes!, forwarded!);
}

/** Makes the maps of an object that is not loaded yet small, as it does not look into them. */
export function leaveOutLocal(object: BpfObject): void {
  for (const map of LOCAL_MAPS) object.setMaxEntries(map, 1);
}

/** struct local_prefix */
function keyOf({ family, bytes, bits }: LocalPrefix): Uint8Array {
  const key = new Uint8Array(new ArrayBuffer(KEY_BYTES));
  key.set(words(32 + bits, family === 4 ? AF_INET : AF_INET6));
  key.set(bytes, 8);
  return key;
}

/** Puts changes of this host's addresses into the maps, given by their descriptors. */
export class LocalMaps {
  /** What is in the maps, by the bytes of its key as text. */
  readonly #known = new Map<string, { map: number; key: Uint8Array }>();

  constructor(
    private readonly addressesMap: number,
    private readonly prefixesMap: number,
    private readonly forwardedMap: number,
  ) {}

  /**
   * Makes the maps those of `local`. Returns how many of it they have no room for. Adds before it removes, so that no address
   * that stays is missing for a moment. Throws a Failure.
   */
  set(local: readonly LocalPrefix[]): number {
    const room = { ...MOST_LOCAL };
    const wanted = new Set<string>();
    let left = 0;
    for (const prefix of local) {
      const key = keyOf(prefix);
      const text = key.join();
      if (wanted.has(text)) continue;
      const isWhole = prefix.bits === prefix.bytes.length * 8;
      if (room[isWhole ? "addresses" : "prefixes"]-- <= 0) {
        left++;
        continue;
      }
      wanted.add(text);
      if (this.#known.has(text)) continue;
      const map = isWhole ? this.addressesMap : this.prefixesMap;
      updateMap(map, key, words(1));
      this.#known.set(text, { map, key });
    }
    for (const [text, { map, key }] of this.#known) {
      if (wanted.has(text)) continue;
      deleteElement(map, key);
      this.#known.delete(text);
    }
    return left;
  }

  /** A destination that the programs left out; null: there was none. */
  forwarded(): Forwarded | null {
    const service = new Uint8Array(new ArrayBuffer(SERVICE_BYTES));
    lookUp(this.forwardedMap, words(0), service);
    const view = new DataView(service.buffer);
    const family = view.getUint16(18, true);
    if (family === 0) return null;
    return { address: service.slice(0, family === AF_INET ? 4 : 16), port: view.getUint16(16) };
  }
}
