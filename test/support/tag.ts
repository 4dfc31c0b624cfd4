/** VLAN tags between client and online. */
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";

/**
 * Makes the frames between client and online carry a VLAN tag. On online it is taken off behind the place where
 * xcopy looks, as a VLAN device would.
 */
export function tagFrames(lab: Lab): void {
  const object = join(lab.directory, "tag.bpf.o");
  const source = join(import.meta.dir, "tag.bpf.c");
  const include = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
  run(lab.online, "clang", "-O2", "-g", "-target", "bpf", "-idirafter", include, "-c", source, "-o", object);
  for (const [namespace, device] of [
    [lab.client, "net0"],
    [lab.online, "front"],
  ] as const) {
    run(namespace, "tc", "qdisc", "add", "dev", device, "clsact");
    for (const [direction, program] of [
      ["ingress", "untag"],
      ["egress", "tag"],
    ] as const) {
      const filter = ["bpf", "direct-action", "object-file", object, "program", program];
      run(namespace, "tc", "filter", "add", "dev", device, direction, ...filter);
    }
  }
}
