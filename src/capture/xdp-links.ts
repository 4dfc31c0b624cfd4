/** XDP programs on interfaces, by links. */
import { bpfFailure, createXdpLink } from "../native/bpf/libbpf.ts";
import { Failure } from "../native/failure.ts";
import { interfaceName } from "../native/filters.ts";
import { EBUSY, EINVAL, ENODEV, EPERM, libc, sleepMicroseconds } from "../native/libc.ts";

/** `native`: in the driver; `generic`: behind it, on a copy of each packet. */
export type XdpMode = "native" | "generic";

/** What a user of XDP should know. */
export const XDP_COSTS =
  "by XDP: sees packets before GRO has joined them, so more of them; has the card's LRO turned off, and some drivers take the link down for a moment; generic, each packet is copied first";

/** ms that a link that was given up may take to go. */
const PATIENCE = 1000;

export class XdpLinks {
  readonly #links: { ifindex: number; fd: number; mode: XdpMode }[] = [];

  /**
   * `modes`: those that are tried, the first that the driver takes. `makeRoom` is asked where another program is attached:
   * whether it gave one of ours up that was.
   */
  constructor(
    private readonly modes: readonly XdpMode[] = ["native", "generic"],
    private readonly makeRoom: () => boolean = () => false,
  ) {}

  /**
   * Attaches a program. There is place for one only. Throws a Failure: 2 for an interface that is not there, 3 where somebody
   * else's program is, 4 without privilege, 5 where the kernel cannot.
   */
  attach(programFd: number, ifindex: number): { fd: number; mode: XdpMode } {
    const name = interfaceName(ifindex);
    if (name === null) {
      throw new Failure(`Cannot attach to interface ${ifindex}: no such interface`, "List them: ip link", 2);
    }
    const tryIt = () => tryModes(this.modes, programFd, ifindex);
    let link = tryIt();
    if (link.fd === -EBUSY && this.makeRoom()) {
      for (let ms = 0; ms < PATIENCE && link.fd === -EBUSY; ms++) {
        sleepMicroseconds(1000);
        link = tryIt();
      }
    }
    if (link.fd === -EBUSY) {
      throw new Failure(
        `Cannot attach to interface "${name}" by XDP: another program is attached`,
        `Take it off (ip link set dev ${name} xdp off) or use tcx`,
        3,
      );
    }
    if (link.fd === -EINVAL) {
      throw new Failure(
        `Cannot attach to interface "${name}" by XDP: this kernel has no links for it`,
        "Use Linux 5.9 or newer, or tcx",
        5,
      );
    }
    if (link.fd < 0) throw bpfFailure(`attach to interface "${name}" by XDP`, -link.fd);
    this.#links.push({ ifindex, ...link });
    return link;
  }

  /** How the program is attached to an interface; undefined: it is not. */
  modeOn(ifindex: number): XdpMode | undefined {
    return this.#links.find((link) => link.ifindex === ifindex)?.mode;
  }

  /** Closes the link to an interface that is gone. */
  forget(ifindex: number): void {
    for (const link of this.#links.splice(0)) {
      if (link.ifindex === ifindex) libc.close(link.fd);
      else this.#links.push(link);
    }
  }

  /** Gives the links up, which end where nobody else holds them. */
  close(): void {
    for (const { fd } of this.#links.splice(0)) libc.close(fd);
  }
}

/** Descriptor or negative errno, as of the last mode that was tried. */
function tryModes(
  modes: readonly XdpMode[],
  programFd: number,
  ifindex: number,
): { fd: number; mode: XdpMode } {
  let tried = { fd: -ENODEV, mode: modes[0]! };
  for (const mode of modes) {
    tried = { fd: createXdpLink(programFd, ifindex, mode), mode };
    // Drivers refuse with various errors: no support, too large an MTU, too few queues.
    if (tried.fd >= 0 || [EBUSY, ENODEV, EPERM].includes(-tried.fd)) break;
  }
  return tried;
}
