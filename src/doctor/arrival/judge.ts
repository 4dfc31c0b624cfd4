/** What the arrivals at a service mean for the copy: findings, from what was counted and what the host has. */
import { formatAddress } from "../../config/address.ts";
import { SECURED } from "../../engine/sessions/secured.ts";
import { number } from "../../runtime/figures.ts";
import type { Finding } from "../finding.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Arrivals, Counts, WatchedService, WayOfArrival } from "./traffic.ts";

/** Ports that are named. */
const MOST_PORTS = 5;
/** Connections there are administrators', no requests: it is named as it is seen, and never meant by -x. */
const SSH = 22;

/** What the traffic was taken from. */
export interface Watch {
  /** "in 3.0 s", "in the first 50,000 packets of the files". */
  span: string;
  /** "at least ", where packets were lost; else "". */
  least: string;
  isLive: boolean;
  isOutgoing: boolean;
  /** -F, where it lets nothing through of what comes to the services; else null. */
  filtered: string | null;
  /** Names of interfaces by index. */
  names: ReadonlyMap<number, string>;
  /** Interfaces on which an XDP program takes packets before they can be seen here, or may. */
  hidden: readonly string[];
  /** The interfaces that -i names. */
  named: readonly string[];
  /** Ports of connections that were opened meanwhile, and of datagrams. */
  opened: ReadonlyMap<number, number>;
  datagrams: ReadonlyMap<number, number>;
}

export interface Arrived {
  service: WatchedService;
  /** Its targets as -x has them: "10.0.0.2:8080". */
  target: string;
  arrivals: Arrivals;
  /** Null for recorded traffic. */
  surroundings: Surroundings | null;
  /** --proxy-protocol: -1 none, 0 not given. */
  proxyProtocol: -1 | 0 | 1 | 2;
}

/** The ways in which requests come that are not copied, the most telling first. */
const NOT_TAKEN = [
  "elsewhere",
  "forwarded",
  "address",
  "family",
  "opposite",
] as const satisfies WayOfArrival[];

/** Ways of packets that have nothing to do with a service that listens here: it is only quiet. */
const OTHERS: ReadonlySet<WayOfArrival> = new Set(["forwarded", "opposite"]);

const finding = (id: string, status: Finding["status"], what: string, found: string, fix: string | null) => ({
  id: `arrival.${id}`,
  status,
  what,
  found,
  fix,
  host: null,
});

export function nameOf({ address, port, isUdp }: WatchedService): string {
  return `${isUdp ? "UDP " : ""}port ${port}${address ? ` of ${formatAddress(address)}` : ""}`;
}

/** All findings about one service. */
export function judgeArrivals(arrived: Arrived, watch: Watch): Finding[] {
  const { service, arrivals } = arrived;
  const what = `requests to ${nameOf(service)}`;
  const { taken } = arrivals.ways;
  const listens = arrived.surroundings?.listens ?? false;
  const isQuiet = listens && !watch.isOutgoing;
  const way = NOT_TAKEN.find((one) => arrivals.ways[one].packets > 0 && !(isQuiet && OTHERS.has(one)));
  if (taken.packets === 0)
    return [way ? judgeWay(way, what, arrived, watch) : judgeNothing(what, arrived, watch)];
  return [
    judgeTaken(what, arrived, watch),
    ...judgeSentOn(arrived),
    ...judgeFamily(what, arrived, watch),
    ...judgeProtocols(arrived, watch),
  ];
}

function counted(
  { packets, connections, requests, interfaces }: Counts,
  { least, names, isLive }: Watch,
): string {
  const where = [...interfaces].map(
    ([ifindex, count]) => `${names.get(ifindex) ?? ifindex} ${number(count)}`,
  );
  const by = isLive && where.length > 0 ? ` (packets by interface: ${where.join(", ")})` : "";
  return `${least}${number(packets)} packets, ${number(connections)} new connections, ${number(requests)} requests${by}`;
}

function judgeTaken(what: string, { service, arrivals, surroundings }: Arrived, watch: Watch): Finding {
  const { taken } = arrivals.ways;
  const found = `${counted(taken, watch)} ${watch.span}`;
  if (watch.filtered !== null) {
    const left = `-F "${watch.filtered}" leaves all of them out: ${found}`;
    return finding("filter", "failed", what, left, "Leave -F out, or correct it: man 7 pcap-filter");
  }
  if (taken.requests > 0) return finding("packets", "ok", what, found, null);
  if (surroundings?.otherAddresses && !surroundings.sentOn && taken.to && taken.connections > 0) {
    const there = surroundings.otherAddresses.join(", ");
    const refused = `clients ask ${formatAddress(taken.to)}, and the service listens at ${there} only: ${found}`;
    const fix = `Let the service listen at that address too: ss -lnp 'sport = :${service.port}' shows where it does.`;
    return finding("packets", "failed", what, refused, fix);
  }
  const fix = "Look again when clients ask for something.";
  return finding("packets", "warning", what, `${found}: no request among them`, fix);
}

/** Where a rule sends requests on: they are taken before it, as clients send them. */
function judgeSentOn({ service, surroundings }: Arrived): Finding[] {
  if (!surroundings?.sentOn) return [];
  const found = `this host sends them on (${surroundings.sentOn}); they are taken before, as clients send them`;
  return [finding("nat", "ok", `translation of ${nameOf(service)}`, found, null)];
}

/** Requests of clients of the other address family, beside such as are copied. */
function judgeFamily(what: string, arrived: Arrived, watch: Watch): Finding[] {
  const { packets, requests } = arrived.arrivals.ways.family;
  if (packets === 0 || requests === 0) return [];
  return [{ ...judgeWay("family", what, arrived, watch), status: "warning" }];
}

function judgeWay(
  way: Exclude<WayOfArrival, "taken">,
  what: string,
  arrived: Arrived,
  watch: Watch,
): Finding {
  const { service, arrivals, target } = arrived;
  const counts = arrivals.ways[way];
  const seen = `${counted(counts, watch)} ${watch.span}`;
  const to = counts.to ? formatAddress(counts.to) : "";
  const source = counts.to ? `${to.includes(":") ? `[${to}]` : to}:${service.port}` : "";
  const names = [...counts.interfaces.keys()].map((ifindex) => watch.names.get(ifindex) ?? `${ifindex}`);
  if (way === "elsewhere") {
    const found = `they come in by ${names.join(", ")}, which -i ${watch.named.join(",")} does not name: ${seen}`;
    return finding("interface", "failed", what, found, `-i ${names.join(",")}, or leave -i out.`);
  }
  if (way === "forwarded") {
    const found = `this host only passes them on, or a mirror sends them: they are to ${to}, no address of this host: ${seen}`;
    return finding("forwarded", "failed", what, found, `-x ${source}-${target}`);
  }
  if (way === "address") {
    const found = `they are to another address, ${to}: ${seen}`;
    return finding(
      "address",
      "failed",
      what,
      found,
      `-x ${source}-${target}, or leave the address before the port out.`,
    );
  }
  if (way === "family") {
    const six = counts.to?.length === 16 ? 6 : 4;
    const found = `IPv${six} requests are not copied: ${seen}`;
    const fix =
      service.address && service.families.length > 1
        ? `-x ${source}-${target} besides, or leave the address before the port out.`
        : `Name a target with an IPv${six} address, give addresses to send from with -c, or leave -s out.`;
    return finding("family", "failed", what, found, fix);
  }
  const found = watch.isOutgoing
    ? `they come in, and --direction out takes those that leave: ${seen}`
    : `they leave this host, whose processes are the clients: ${seen}`;
  const fix = watch.isOutgoing ? "Leave --direction out." : "--direction out";
  return finding("direction", "failed", what, found, fix);
}

function judgeNothing(what: string, arrived: Arrived, watch: Watch): Finding {
  const { service, arrivals, surroundings, target } = arrived;
  const hidden =
    watch.hidden.length > 0 ? ` (what an XDP program takes on ${watch.hidden.join(", ")} is not seen)` : "";
  const nothing = `nothing arrived ${watch.span}${hidden}`;
  const others = otherPorts(arrived, watch);
  const named = others.length > 0 ? `; connections come to ${listed(others)}` : "";
  const [most] = others.find(([port]) => port !== service.port && (service.isUdp || port !== SSH)) ?? [];
  const prefix = service.isUdp ? "udp:" : "";
  const transfer = most === undefined ? null : `-x ${prefix}${most}-${target}`;
  if (arrivals.answers > 0) {
    const found = `${nothing} but responses from there: only one direction is seen`;
    return finding(
      "packets",
      "failed",
      what,
      found,
      "Capture both directions: see the mirror, or the filter of the recording.",
    );
  }
  if (!surroundings) {
    return finding(
      "packets",
      "failed",
      what,
      `${nothing}${named}`,
      transfer ?? "See whether the recording is of this service.",
    );
  }
  const [translated] = surroundings.translated;
  if (translated) {
    const found = `${nothing}: clients use port ${translated.ports}, which this host sends to port ${service.port} (${translated.by})`;
    const port = /^\d+/.exec(translated.ports)?.[0];
    return finding("nat", "failed", what, found, `-x ${prefix}${port}-${target}`);
  }
  const { elsewhere, listens } = surroundings;
  if (!listens && elsewhere) {
    const found = `${nothing}, and nobody listens there in this network namespace, but ${elsewhere.command} (pid ${elsewhere.pid}) does in its own${named}`;
    return finding(
      "packets",
      "failed",
      what,
      found,
      `nsenter -t ${elsewhere.pid} -n xcopy copy ..., or name the port that clients use in -x.`,
    );
  }
  if (!listens) {
    const fix = transfer ?? "Correct the port in -x, or start the service.";
    return finding("packets", "failed", what, `${nothing}, and nobody listens there${named}`, fix);
  }
  const fix =
    transfer === null
      ? "Look again when clients ask for something."
      : `Look again when clients ask for something, or: ${transfer}`;
  return finding("packets", "warning", what, `${nothing}, though a service listens there${named}`, fix);
}

/** The part of connections up to which TLS and SSH at a service that speaks neither are from who tries all ports. */
const SCANS = 0.1;

/** The ports with most new connections, and where there were none with most established ones. */
function otherPorts({ service, surroundings }: Arrived, { opened, datagrams }: Watch): [number, number][] {
  const seen = service.isUdp ? datagrams : opened;
  const counts = seen.size > 0 || service.isUdp ? seen : (surroundings?.connections ?? seen);
  return [...counts].sort((one, other) => other[1] - one[1]).slice(0, MOST_PORTS);
}

function listed(ports: [number, number][]): string {
  const texts = ports.map(([port, count]) => `${port} (${number(count)})`);
  return `${texts.length === 1 ? "port" : "ports"} ${texts.join(", ")}`;
}

function judgeProtocols({ service, arrivals, proxyProtocol }: Arrived, { span }: Watch): Finding[] {
  const { protocols, proxy } = arrivals;
  const what = `protocol at ${nameOf(service)}`;
  const all = [...protocols].sort((one, other) => other[1] - one[1]);
  const known = all.filter(([name]) => name !== "");
  const found: Finding[] = [];
  const total = all.reduce((sum, [, count]) => sum + count, 0);
  const unit = service.isUdp ? "datagrams" : "connections";
  const texts = known.map(([name, count]) => `${name} (${number(count)} of ${number(total)} ${unit})`);
  const hopeless = known.find(([name]) => name === "TLS" || name === "SSH");
  if (hopeless && hopeless[1] > SCANS * total) {
    const { why, fix } = SECURED[hopeless[0] === "TLS" ? "tls" : "ssh"];
    const status = 2 * hopeless[1] > total ? "failed" : "warning";
    found.push(finding("protocol", status, what, `${texts.join(", ")}: ${why}`, fix));
  } else if (total > 0) {
    found.push(finding("protocol", "ok", what, texts.join(", ") || `none that is known ${span}`, null));
  }
  const version = proxy[1] > 0 ? 1 : proxy[2] > 0 ? 2 : 0;
  if (version > 0) {
    const begins = `${number(proxy[1] + proxy[2])} connections begin with a PROXY protocol header, version ${version}, of a load balancer`;
    const isHandled = proxyProtocol !== 0;
    found.push(
      isHandled
        ? finding("proxy", "ok", what, begins, null)
        : finding(
            "proxy",
            "warning",
            what,
            `${begins}: the target gets it too, and has to expect it`,
            "If it does not: --proxy-protocol none, which leaves the header out.",
          ),
    );
  }
  return found;
}
