/** What `xcopy copy --dry-run` prints. */

import { possibleCpus } from "../capture/maps.ts";
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { formatMac } from "../config/injection.ts";
import type { LateRule } from "../config/pace.ts";
import { formatPorts } from "../config/ports.ts";
import { protocolFor } from "../config/protocol.ts";
import { compileFilter, linkLayerOf, renderFilter } from "../filter/compile.ts";
import { bufferBytes, megabytes, ringBytesFor, waitingBytes } from "../host/memory.ts";
import type { EgressConfig, PathConfig } from "../inject/path.ts";
import { comparisonLines } from "./comparison/dry-run.ts";
import { REQUEST_RING_LEAST } from "./load.ts";
import type { CopyOptions } from "./options.ts";
import type { Plan } from "./plan.ts";
import { requireLogins, servicesByGreeting } from "./recognize.ts";

function sources(paths: PathConfig[]): string {
  const [first, last] = [paths[0]!.local, paths.at(-1)!.local];
  if (!first || !last) return "the clients' own addresses";
  if (paths.length === 1) return formatAddress(first);
  return `${paths.length} addresses, ${formatAddress(first)} to ${formatAddress(last)}`;
}

function way(egress: EgressConfig): string {
  const size = `packets of at most ${egress.mtu} bytes`;
  if (egress.kind === "cooked") return `over ${egress.interface}, ${size}`;
  if (egress.kind === "raw") return `over ${egress.interface}, routed by the kernel, ${size}`;
  const mac = formatMac(egress.nextHopMac);
  if (egress.hasFixedMac) return `over ${egress.interface}, next hop MAC ${mac}, ${size}`;
  const known = mac === "" ? "MAC to be looked up" : `MAC ${mac}`;
  return `over ${egress.interface}, next hop ${formatAddress(egress.nextHop)} (${known}), ${size}`;
}

/** At what speed recorded traffic is replayed, and how much at a time. */
function paceOf({ trace }: CopyOptions): string {
  const { speed, longestGap, loops, rate, users } = trace;
  const parts = [
    speed === Number.POSITIVE_INFINITY ? "as fast as the targets answer" : `at ${speed} times the speed`,
    longestGap > 0 && `gaps cut to ${longestGap} ms`,
    rate > 0 && `at most ${rate} requests a second`,
    users > 0 && `by ${users} users`,
    loops > 1 && `${loops} times`,
  ];
  return parts.filter(Boolean).join(", ");
}

function lateText({ after, spreads }: LateRule): string {
  const seconds = after / 1e6;
  return spreads
    ? `HTTP requests that wait for ${seconds} s go over other connections of the same client`
    : `requests that wait for ${seconds} s are dropped`;
}

/** A line for each option that changes which sessions are copied, how often, when, or by which protocol. */
function departures(plan: Plan, options: CopyOptions): [name: string, text: string][] {
  const { sample, ramp, replicas, jitter, limit, late, rtt, proxyProtocol } = options;
  const lines: [string, string | false][] = [
    ["replay", plan.files.length > 0 && `${plan.files.join(", ")} ${paceOf(options)}`],
    ["sample", sample < 1 && `${Number((sample * 100).toFixed(4))} % of the connections`],
    ["ramp", ramp > 0 && `from no connection to all of these within ${ramp / 1e6} s`],
    ["sessions", options.fullSessions && "only connections that are opened from now on"],
    ["copies", replicas > 1 && `each connection ${replicas} times`],
    [
      "jitter",
      jitter > 0 && `copies after the first begin up to ${jitter} ms later, each after its own random time`,
    ],
    ["limit", limit > 0 && `at most ${limit} requests a second; the others are counted, but not sent`],
    ["pace", options.noWait && "requests go when the client sent them, answered or not"],
    ["pace", options.pace === "fast" && "the next request goes as soon as one is answered"],
    [
      "pace",
      options.pace === "think" &&
        "the next request goes after the client's think time, late responses or not",
    ],
    ["late", late !== null && lateText(late)],
    ["quiet", rtt > 0 && `responses shorter than production's are complete after ${rtt} ms of silence`],
    ...plan.services.map((service): [string, string | false] => {
      const protocol = protocolFor(options.protocols, service);
      return ["protocol", protocol !== null && `connections to port ${service.port} are read as ${protocol}`];
    }),
    ...servicesByGreeting(plan, options).map((service): [string, string] => [
      "protocol",
      `connections to port ${service.port} are read as mysql if the target greets as MySQL does`,
    ]),
    ["header", proxyProtocol > 0 && `PROXY protocol v${proxyProtocol} opens each connection`],
    ["header", proxyProtocol < 0 && "PROXY protocol headers of clients are left out"],
  ];
  return lines.flatMap(([name, text]) => (text ? [[name, text]] : []));
}

/** How many workers there are, where they run, and what they may use. */
function workersOf(
  { workers: { count, cpus, note } }: Plan,
  { scheduling }: CopyOptions,
): [string, string][] {
  const { nice, cpuLimit } = scheduling;
  const pinned = cpus.filter((cpu) => cpu !== null);
  const lines: [name: string, text: string | false][] = [
    ["workers", count > 1 && `${count}, each for a part of the connections`],
    ["workers", note],
    ["cpus", pinned.length > 0 && `${pinned.join(", ")}, one for each worker`],
    ["nice", nice !== null && (nice === "idle" ? "only when no other program wants to run" : `${nice}`)],
    [
      "limit",
      cpuLimit > 0 &&
        `${Number((cpuLimit * 100).toFixed(6))} % of a CPU; requests for which that is not enough are not copied`,
    ],
  ];
  return lines.flatMap(([name, text]) => (text ? [[name, text]] : []));
}

/** Where the programs of a back end are attached. */
const HOOKS: Record<string, string | undefined> = {
  auto: "tcx, or clsact where the kernel has no tcx",
  tcx: "tcx",
  clsact: "clsact",
  xdp: "XDP, in the driver where it can, and by tcx where there is no Ethernet",
  "xdp-generic": "generic XDP, and by tcx where there is no Ethernet",
};
/** What the other back ends capture with. */
const SOCKETS: Record<string, string | undefined> = {
  packet: "a packet socket",
  raw: "raw IP sockets",
  pcap: "libpcap",
};

/** Bytes for captured packets: of all rings together, which are powers of two, or of sockets. */
function capturedBytes({ workers }: Plan, { capture }: CopyOptions): number {
  if (SOCKETS[capture.backEnd]) return bufferBytes(capture.bufferBytes);
  const rings = workers.count * possibleCpus();
  return rings * ringBytesFor(capture.bufferBytes, rings, REQUEST_RING_LEAST);
}

/** What bursts find room in; rings are made smaller where there is no memory for them. */
function roomsOf(plan: Plan, options: CopyOptions): string[] {
  const { files } = plan;
  const { memory } = options;
  const captured = `about ${megabytes(capturedBytes(plan, options))} for captured packets that wait to be read`;
  const waiting = `up to ${megabytes(waitingBytes(memory))} for requests that wait to be sent`;
  return files.length > 0 ? [waiting] : [captured, waiting];
}

/** The programs that a filter is compiled to, one for each kind of interface. Throws a Failure (2, 5). */
function filterLines({ interfaces }: Plan, expression: string): string[] {
  const layers = new Set(interfaces.map(({ hardwareType }) => linkLayerOf(hardwareType ?? 1) ?? "ethernet"));
  return [...layers].flatMap((layer) => {
    const program = renderFilter(compileFilter(expression, layer)).split("\n");
    return layers.size > 1 ? [`on interfaces of kind ${layer}`, ...program] : program;
  });
}

/** Where programs would be attached, what they would match, what would be sent where, and what would be dropped. */
export function renderPlan(plan: Plan, options: CopyOptions): string {
  requireLogins(plan, options, options.capture.backEnd);
  const lines = ["Nothing is touched. Without --dry-run this would happen:", ""];
  const add = (name: string, ...texts: string[]) => {
    for (const [index, text] of texts.entries()) lines.push(`${(index ? "" : name).padEnd(10)}${text}`);
  };
  const isDirect = plan.intercepts.length === 0;
  const ports = plan.keepsClientPorts ? "the clients' own ports" : `ports ${formatPorts(plan.ports)}`;
  const intercepts = plan.intercepts
    .map(({ address, port }) => formatEndpoint(address.bytes, port))
    .join(", ");
  for (const { address, port, transport, routes } of plan.services) {
    const kind = transport === "udp" ? "UDP port" : "port";
    const every = options.capture.direction === "in" ? "every address of this host" : "every address";
    const of = address ? formatAddress(address.bytes) : every;
    for (const { label, targets } of routes) {
      add("transfer", label);
      if (plan.files.length > 0)
        add("read", `requests to ${kind} ${port} of ${address ? of : "every address"}`);
      else
        add(
          "capture",
          `${options.capture.direction === "in" ? "" : "outgoing "}requests to ${kind} ${port} of ${of}; they pass unchanged`,
        );
      const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
      for (const target of targets) {
        const paths = target.paths.map((path) => plan.paths[path]!);
        const egress = plan.egresses[paths[0]!.egress]!;
        const to = formatEndpoint(target.address.bytes, target.port);
        const share = targets.length > 1 ? `, ${target.weight} of ${weights} connections` : "";
        add("send", `to ${to} from ${sources(paths)}${share}`, ports, way(egress));
        if (isDirect) {
          add(
            "drop",
            `on ${egress.interface}: responses of ${to} to connections that xcopy opened; nothing else`,
          );
        } else {
          add("answers", `of ${to} are caught by the intercept at ${intercepts} and sent here`);
        }
      }
      lines.push("");
    }
  }
  const responses = [...new Set(plan.egresses.map((egress) => egress.interface))].join(", ");
  const isLive = plan.files.length === 0;
  const { backEnd, direction, filter } = options.capture;
  const names = plan.interfaces.map(({ name }) => name).join(", ");
  const hook = HOOKS[backEnd];
  const request = isLive && hook ? [`request program   ${names}`] : [];
  const response = isDirect ? [`response program  ${responses}`] : [];
  const where = request.length > 0 && direction === "out" ? "egress" : "ingress";
  if (request.length > 0 && backEnd.startsWith("xdp")) {
    add("attach", `at ingress by ${hook}`, ...request);
    if (isDirect) add("attach", `at ingress by ${HOOKS.auto}`, ...response);
  } else if (request.length + response.length > 0) {
    add("attach", `at ${where} by ${hook ?? HOOKS.auto}`, ...request, ...response);
  }
  if (isLive && !hook) add("listen", `with ${SOCKETS[backEnd]} on ${names}`);
  if (filter !== null) add("filter", `${filter}; the kernel runs`, ...filterLines(plan, filter));
  for (const [name, text] of workersOf(plan, options)) add(name, text);
  for (const [name, text] of departures(plan, options)) add(name, text);
  for (const [name, text] of comparisonLines(options.comparison, options.audience)) add(name, text);
  add("mark", `0x${options.mark.toString(16)} on every packet sent; such packets are not captured`);
  add("memory", ...roomsOf(plan, options));
  return lines.join("\n");
}
