/** The tc programs that one process has attached to interfaces: by tcx links, or by clsact on kernels without tcx. */
import { bpfFailure } from "../native/bpf/errors.ts";
import { createTcxLink, updateLink } from "../native/bpf/link.ts";
import { Failure } from "../native/failure.ts";
import { interfaceName } from "../native/filters.ts";
import { EINVAL, ENODEV, libc } from "../native/libc.ts";
import { ClsactFilters, DIRECTIONS, isRequest, type Kind } from "./clsact.ts";

export type Hook = "tcx" | "clsact";

export class Attachments {
  readonly #wanted: "auto" | Hook;
  readonly #links: { ifindex: number; kind: Kind; fd: number }[] = [];
  #filters: ClsactFilters | undefined;
  #hook: Hook;

  /** `auto`: tcx where the kernel has it. */
  constructor(wanted: "auto" | Hook) {
    this.#wanted = wanted;
    this.#hook = wanted === "clsact" ? "clsact" : "tcx";
  }

  /** The hook in use; with `auto` final after the first `attach`. */
  get hook(): Hook {
    return this.#hook;
  }

  /**
   * Attaches a program in front of all others on the interface, but a request program right after the response program of
   * this process. Throws a Failure: 2 for an interface that does not exist, 4 without privilege, 5 where the kernel cannot.
   * Returns the descriptor of the tcx link, which this object closes, or -1 with clsact.
   */
  attach(kind: Kind, programFd: number, ifindex: number): number {
    const name = interfaceName(ifindex);
    if (name === null) {
      throw new Failure(
        `Cannot attach to interface ${ifindex}: no such interface`,
        '"ip link" lists the interfaces.',
        2,
      );
    }
    if (this.#hook === "tcx") {
      const before = this.#links.find((link) => link.ifindex === ifindex && link.kind === "response");
      const after = kind === "request" ? before?.fd : undefined;
      const fd = createTcxLink(programFd, ifindex, DIRECTIONS[kind], after);
      if (fd >= 0) {
        this.#links.push({ ifindex, kind, fd });
        return fd;
      }
      if (fd === -ENODEV) {
        throw new Failure(
          `Cannot attach to interface "${name}": it is gone`,
          '"ip link" lists the interfaces.',
          2,
        );
      }
      if (fd !== -EINVAL) throw bpfFailure(`attach to interface "${name}" by tcx`, -fd);
      if (this.#wanted === "tcx" || this.#links.length > 0) {
        throw new Failure(
          `Cannot attach to interface "${name}" by tcx: this kernel has none`,
          "Use Linux 6.6 or newer, or clsact instead of tcx.",
          5,
        );
      }
      this.#hook = "clsact";
    }
    this.#filters ??= new ClsactFilters();
    this.#filters.attach(kind, programFd, ifindex);
    return -1;
  }

  /** Another program captures requests on an interface, in one step. Throws a Failure. */
  replaceRequest(programFd: number, ifindex: number): void {
    for (const link of this.#links) {
      if (link.ifindex !== ifindex || (link.kind !== "request" && link.kind !== "leaving")) continue;
      const code = updateLink(link.fd, programFd);
      if (code < 0) throw bpfFailure(`replace the program on interface ${ifindex}`, -code);
    }
    this.#filters?.replaceRequest(programFd, ifindex);
  }

  /** Detaches the request programs from all interfaces. */
  detachRequests(): void {
    for (const link of this.#links.splice(0)) {
      if (isRequest(link.kind)) libc.close(link.fd);
      else this.#links.push(link);
    }
    this.#filters?.detachRequests();
  }

  /** Closes the links of an interface that is gone. Its clsact filters are gone with it. */
  forget(ifindex: number): void {
    for (const link of this.#links.splice(0)) {
      if (link.ifindex === ifindex) libc.close(link.fd);
      else this.#links.push(link);
    }
  }

  /** Detaches all programs. */
  detach(): void {
    this.closeLinks();
    this.#filters?.detach();
  }

  /** Closes the links; one ends unless another process holds it too. clsact filters and their record stay. */
  closeLinks(): void {
    for (const { fd } of this.#links.splice(0)) libc.close(fd);
  }
}
