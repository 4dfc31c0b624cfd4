/** The services whose requests are captured, and which of them a packet goes to: as `look_up_service` in bpf/record/service.h. */
import type { IpHeader } from "../wire/ip-header.ts";
import type { Prefix } from "../wire/prefix.ts";

/** A service whose requests are captured. */
export interface KernelService {
  /** 4 or 16 bytes in network order; null: every address of this host. */
  address: Uint8Array | null;
  family: 4 | 6;
  port: number;
  /** Default `tcp`. */
  transport?: "tcp" | "udp";
  /** `index` of its records. */
  index: number;
}

/** A service of which what it sends to clients is captured too. */
export interface AnsweringService extends KernelService {
  /** How much of the payload of each segment or datagram. */
  payload: Prefix;
}

/** The ports of services, by transport. */
export function portsOf(services: KernelService[]): { ports: number[]; datagramPorts: number[] } {
  const of = (isUdp: boolean) =>
    services.filter(({ transport }) => (transport === "udp") === isUdp).map(({ port }) => port);
  return { ports: of(false), datagramPorts: of(true) };
}

export class Services {
  /** Per port: 1 + the position of its first service in `#services`, which is sorted by port; 0: none. */
  readonly #first = new Uint16Array(65536);
  #services: KernelService[] = [];
  /** Whether the service of the last `find` that found one has no address. */
  isAny = false;

  /** A service without address is found by port, where no service with that address and port is. */
  constructor(services: readonly KernelService[]) {
    this.become(services);
  }

  /** These are the services from now on. */
  become(services: readonly KernelService[]): void {
    this.#first.fill(0);
    // Of each port those with an address come first.
    this.#services = services.toSorted(
      (one, other) => one.port - other.port || Number(one.address === null) - Number(other.address === null),
    );
    this.#services.forEach(({ port }, place) => {
      this.#first[port] ||= place + 1;
    });
  }

  /**
   * The `index` of the service that a packet with this header and destination port goes to; -1 if there is none.
   * `toAny`: whether services without address count (in a trace always: it does not say which addresses are this host's).
   */
  find(view: DataView, header: IpHeader, port: number, toAny = true): number {
    return this.#findAt(view, header, port, toAny, header.ip + (header.family === 4 ? 16 : 24));
  }

  /** The same of the service that a packet with this source port comes from. */
  findSource(view: DataView, header: IpHeader, port: number): number {
    return this.#findAt(view, header, port, true, header.ip + (header.family === 4 ? 12 : 8));
  }

  /** `at`: offset of the address. */
  #findAt(view: DataView, header: IpHeader, port: number, toAny: boolean, at: number): number {
    let place = this.#first[port]!;
    if (place === 0) return -1;
    for (; place <= this.#services.length; place++) {
      const service = this.#services[place - 1]!;
      if (service.port !== port) return -1;
      if (service.family !== header.family) continue;
      if (!(service.address === null ? toAny : isAt(view, at, service.address))) continue;
      this.isAny = service.address === null;
      return service.index;
    }
    return -1;
  }
}

function isAt(view: DataView, at: number, address: Uint8Array): boolean {
  for (let i = 0; i < address.length; i++) if (view.getUint8(at + i) !== address[i]) return false;
  return true;
}
