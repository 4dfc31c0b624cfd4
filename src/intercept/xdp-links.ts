/** XDP programs on interfaces, by links. */
import { Failure } from "../native/failure.ts";
import { interfaceName } from "../native/filters.ts";
import { bpfFailure, createXdpLink } from "../native/libbpf.ts";
import { EBUSY, EINVAL, ENODEV, EPERM, libc, sleepMicroseconds } from "../native/libc.ts";
import { endLingeringGuards } from "./guard.ts";

/** `native`: in the driver; `generic`: behind it, at the cost of tc. */
export type XdpMode = "native" | "generic";

/** ms that the link of a guard that was ended may take to go. */
const PATIENCE = 1000;

export class XdpLinks {
  readonly #links: number[] = [];

  /**
   * Attaches a program: native where the driver can, else generic. There is place for one only: a guard of an earlier
   * intercept is ended for it. Throws a Failure: 2 for an interface that is not there, 3 where somebody else's program
   * is, 4 without privilege, 5 where the kernel cannot.
   */
  attach(programFd: number, ifindex: number): { fd: number; mode: XdpMode } {
    const name = interfaceName(ifindex);
    if (name === null) {
      throw new Failure(`Cannot attach to interface ${ifindex}: no such interface`, "List them: ip link", 2);
    }
    let link = tryBoth(programFd, ifindex);
    if (link.fd === -EBUSY && endLingeringGuards().length > 0) {
      for (let ms = 0; ms < PATIENCE && link.fd === -EBUSY; ms++) {
        sleepMicroseconds(1000);
        link = tryBoth(programFd, ifindex);
      }
    }
    if (link.fd === -EBUSY) {
      throw new Failure(
        `Cannot attach to interface "${name}" by XDP: another program is attached`,
        `Take it off (ip link set dev ${name} xdp off) or use the hook tcx`,
        3,
      );
    }
    if (link.fd === -EINVAL) {
      throw new Failure(
        `Cannot attach to interface "${name}" by XDP: this kernel has no links for it`,
        "Use Linux 5.9 or newer, or the hook tcx",
        5,
      );
    }
    if (link.fd < 0) throw bpfFailure(`attach to interface "${name}" by XDP`, -link.fd);
    this.#links.push(link.fd);
    return link;
  }

  /** Gives the links up, which end where nobody else holds them. */
  close(): void {
    for (const fd of this.#links.splice(0)) libc.close(fd);
  }
}

function tryBoth(programFd: number, ifindex: number): { fd: number; mode: XdpMode } {
  const native = createXdpLink(programFd, ifindex, "native");
  // Drivers refuse with various errors: no support, too large an MTU, too few queues.
  const isFinal = native >= 0 || [EBUSY, ENODEV, EPERM].includes(-native);
  return isFinal
    ? { fd: native, mode: "native" }
    : { fd: createXdpLink(programFd, ifindex, "generic"), mode: "generic" };
}
