/** What `--dry-run` prints. */
import { formatAddress, formatEndpoint } from "../config/address.ts";
import type { CopyOptions } from "../config/copy.ts";
import { formatPorts } from "../config/ports.ts";
import type { EgressConfig, PathConfig } from "../worker/config.ts";
import type { Plan } from "./plan.ts";

function sources(paths: PathConfig[]): string {
  const [first, last] = [paths[0]!, paths.at(-1)!];
  if (paths.length === 1) return formatAddress(first.local);
  return `${paths.length} addresses, ${formatAddress(first.local)} to ${formatAddress(last.local)}`;
}

function way(egress: EgressConfig): string {
  const size = `packets of at most ${egress.mtu} bytes`;
  if (egress.kind === "raw") return `over ${egress.interface}, routed by the kernel, ${size}`;
  const mac = Buffer.from(egress.nextHopMac)
    .toString("hex")
    .replace(/..(?=.)/g, "$&:");
  const known = mac === "" ? "MAC to be looked up" : `MAC ${mac}`;
  return `over ${egress.interface}, next hop ${formatAddress(egress.nextHop)} (${known}), ${size}`;
}

/** Where programs would be attached, what they would match, what would be sent where, and what would be dropped. */
export function renderPlan(plan: Plan, options: CopyOptions): string {
  const lines = ["Nothing is touched. Without --dry-run this would happen:", ""];
  const add = (name: string, ...texts: string[]) => {
    for (const [index, text] of texts.entries()) lines.push(`${(index ? "" : name).padEnd(10)}${text}`);
  };
  const ports = formatPorts(plan.ports);
  for (const [index, { label, address, port, target, targetPort }] of plan.services.entries()) {
    const paths = plan.pathsOf[index]!.map((path) => plan.paths[path]!);
    const egress = plan.egresses[paths[0]!.egress]!;
    const to = formatEndpoint(target.bytes, targetPort);
    const of = address ? formatAddress(address.bytes) : "every address of this host";
    add("transfer", label);
    add("capture", `requests to port ${port} of ${of}; they pass unchanged`);
    add("send", `to ${to} from ${sources(paths)}`, `ports ${ports}`, way(egress));
    add("drop", `on ${egress.interface}: answers of ${to} to connections that xcopy opened; nothing else`);
    lines.push("");
  }
  const hook = { auto: "tcx, or clsact where the kernel has no tcx", tcx: "tcx", clsact: "clsact" }[
    options.hook
  ];
  const responses = [...new Set(plan.egresses.map((egress) => egress.interface))].join(", ");
  add(
    "attach",
    `at ingress by ${hook}`,
    `request program   ${plan.interfaces.map(({ name }) => name).join(", ")}`,
    `response program  ${responses}`,
  );
  add("mark", `0x${options.mark.toString(16)} on every packet sent; such packets are not captured`);
  return lines.join("\n");
}
