/** XDP programs attached to interfaces by BPF links. */
import { bpfFailure } from "../native/bpf/errors.ts";
import { createXdpLink, updateLink } from "../native/bpf/link.ts";
import { Failure } from "../native/failure.ts";
import { interfaceName } from "../native/filters.ts";
import { EBUSY, EINVAL, ENODEV, EPERM, libc, sleepMicroseconds } from "../native/libc.ts";

/** `native`: in the driver; `generic`: in the network stack after it, on a copy of each packet. */
export type XdpMode = "native" | "generic";

/** What a user should know about XDP, for the dry run and the log. */
export const XDP_COSTS =
  "by XDP: sees packets before GRO joins them, so more of them; turns the card's LRO off, and some drivers take the link down for a moment; in generic mode each packet is copied first";

/** ms to wait until a link that was given up has ended. */
const LINK_END_TIMEOUT = 1000;

export class XdpLinks {
  readonly #links: { ifindex: number; fd: number; mode: XdpMode }[] = [];

  /**
   * `modes` are tried in order until the driver takes one. `makeRoom` is called where another program is attached: it ends
   * what an earlier xcopy may have left there, and returns whether there was anything.
   */
  constructor(
    private readonly modes: readonly XdpMode[] = ["native", "generic"],
    private readonly makeRoom: () => boolean = () => false,
  ) {}

  /**
   * Attaches a program; an interface takes only one. Throws a Failure: 2 for an interface that does not exist, 3 where another
   * program is attached, 4 without privilege, 5 where the kernel cannot.
   */
  attach(programFd: number, ifindex: number): { fd: number; mode: XdpMode } {
    const name = interfaceName(ifindex);
    if (name === null) {
      throw new Failure(
        `Cannot attach to interface ${ifindex}: no such interface`,
        '"ip link" lists the interfaces.',
        2,
      );
    }
    const tryIt = () => tryModes(this.modes, programFd, ifindex);
    let link = tryIt();
    if (link.fd === -EBUSY && this.makeRoom()) {
      for (let ms = 0; ms < LINK_END_TIMEOUT && link.fd === -EBUSY; ms++) {
        sleepMicroseconds(1000);
        link = tryIt();
      }
    }
    if (link.fd === -EBUSY) {
      throw new Failure(
        `Cannot attach to interface "${name}" by XDP: another program is attached`,
        `Take it off (ip link set dev ${name} xdp off), or use tcx instead of XDP.`,
        3,
      );
    }
    if (link.fd === -EINVAL) {
      throw new Failure(
        `Cannot attach to interface "${name}" by XDP: this kernel has no links for it`,
        "Use Linux 5.9 or newer, or tcx instead of XDP.",
        5,
      );
    }
    if (link.fd < 0) throw bpfFailure(`attach to interface "${name}" by XDP`, -link.fd);
    this.#links.push({ ifindex, ...link });
    return link;
  }

  /** Another program runs on an interface, in one step. Throws a Failure. */
  replace(programFd: number, ifindex: number): void {
    for (const link of this.#links) {
      if (link.ifindex !== ifindex) continue;
      const code = updateLink(link.fd, programFd);
      if (code < 0) throw bpfFailure(`replace the XDP program on interface ${ifindex}`, -code);
    }
  }

  /** The mode in which the program is attached to an interface; undefined if it is not attached. */
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

  /** Closes the links; one ends unless another process holds it too. */
  close(): void {
    for (const { fd } of this.#links.splice(0)) libc.close(fd);
  }
}

/** Tries the modes in order. `fd`: descriptor, or negative errno of the last mode that was tried. */
function tryModes(
  modes: readonly XdpMode[],
  programFd: number,
  ifindex: number,
): { fd: number; mode: XdpMode } {
  let tried = { fd: -ENODEV, mode: modes[0]! };
  for (const mode of modes) {
    tried = { fd: createXdpLink(programFd, ifindex, mode), mode };
    // Other errors are those of drivers, which vary: no support, MTU too large, too few queues.
    if (tried.fd >= 0 || [EBUSY, ENODEV, EPERM].includes(-tried.fd)) break;
  }
  return tried;
}
