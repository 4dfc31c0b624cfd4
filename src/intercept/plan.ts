/** Makes the plan of `xcopy intercept`: all that will be done, from the options and this host, before any of it is done. */
import { type Address, formatAddress, formatEndpoint } from "../config/address.ts";
import { chooseInterfaces, type Interface } from "../config/interfaces.ts";
import { formatNetwork } from "../config/networks.ts";
import { type CaughtService, formatService } from "../config/service.ts";
import { localTest } from "../host/local-addresses.ts";
import { Failure } from "../native/failure.ts";
import { links, localAddresses, NetlinkError, route } from "../native/netlink/netlink.ts";
import { type AssistantHost, prefersXdp, thisAssistant } from "./assistant-hook.ts";
import { type InterceptMode, type InterceptOptions, refuseForeignOptions } from "./options.ts";

export interface InterceptPlan {
  mode: InterceptMode;
  services: CaughtService[];
  /** What decides in mode assistant, in the language of pcap-filter. */
  filter: string | null;
  /** Where programs are attached; none in mode nfqueue. */
  interfaces: Interface[];
  /** Programs are attached by XDP, if the drivers take them. */
  prefersXdp: boolean;
  /** Where copies connect to. */
  listen: Address[];
  port: number;
  /** What may be wrong, for the user to judge. */
  warnings: string[];
}

/** What a plan is made from besides the options: this host, or in a test another one. */
export interface InterceptHost extends AssistantHost {
  interfaces: Interface[];
  isLocal(address: Uint8Array): boolean;
  /** All addresses of this host. */
  addresses(): Address[];
  /** This host's address towards other hosts; null if it cannot be told. */
  ownAddress(): Address | null;
}

/** An address of the Internet that nobody has (RFC 5737): a route to it is the default route. */
const ANYWHERE = Uint8Array.of(192, 0, 2, 1);
const EVERY: Address[] = [
  { family: 4, bytes: new Uint8Array(4) },
  { family: 6, bytes: new Uint8Array(16) },
];
const SCOPE_GLOBAL = 0;

/** The address that the default route sends from; without such a route the only address, 127.0.0.1, or null for several. */
function ownAddress(): Address | null {
  try {
    const { source } = route(ANYWHERE);
    if (source) return { family: source.length === 4 ? 4 : 6, bytes: source };
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
  }
  const reachable = localAddresses().filter(({ scope, family }) => scope === SCOPE_GLOBAL && family === 4);
  if (reachable.length > 1) return null;
  return { family: 4, bytes: reachable[0]?.bytes ?? Uint8Array.of(127, 0, 0, 1) };
}

export function thisInterceptHost(): InterceptHost {
  return {
    ...thisAssistant,
    interfaces: links(),
    isLocal: localTest(),
    addresses: localAddresses,
    ownAddress,
  };
}

/** Mode target if the services are on this host, assistant if they are on others. */
function chooseMode({ services, mode }: InterceptOptions, host: InterceptHost): InterceptMode {
  if (mode) return mode;
  const foreign = services.filter(({ address }) => address && !host.isLocal(address.bytes));
  if (foreign.length === 0) return "target";
  const own = services.find((service) => !foreign.includes(service));
  if (!own) return "assistant";
  throw new Failure(
    `Cannot use -o "${foreign[0]!.label}" with -o "${own.label}": the first is on another host, the second on this one`,
    "Run one intercept for each, or choose the mode with --mode.",
    2,
  );
}

function isUnspecified({ bytes }: Address): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Where copies connect to. Without a key any host that reaches the port can take responses: then it is one address only. */
function chooseListen(options: InterceptOptions, hasKey: boolean, host: InterceptHost): Address[] {
  const { bind, services } = options;
  if (hasKey) return bind.length > 0 ? bind : EVERY;
  const open = bind.find(isUnspecified) ?? bind[1];
  if (open) {
    throw new Failure(
      `Cannot use -b "${formatAddress(open.bytes)}": with --insecure or --compat copies may connect to one address only, not to ${isUnspecified(open) ? "all" : "several"}`,
      "Name one address of this host, or leave both out and give both sides a key (xcopy key).",
      2,
    );
  }
  const named = services.find(({ address }) => address && host.isLocal(address.bytes))?.address;
  const one = bind[0] ?? named ?? host.ownAddress();
  if (one) return [one];
  throw new Failure(
    "Cannot choose an address to listen on: this host has several, and no default route",
    "Name one with -b, or give both sides a key (xcopy key).",
    2,
  );
}

/** A filter for the responses of services on other hosts, and for ICMP errors about them. */
function filterFor(services: readonly CaughtService[]): string {
  const responses = services.map(({ address, ports: [first, last] }) => {
    const ports = first === last ? `src port ${first}` : `src portrange ${first}-${last}`;
    return address ? `(src host ${formatAddress(address.bytes)} and ${ports})` : `(${ports})`;
  });
  const addresses = services.flatMap(({ address }) => address ?? []);
  const errors = addresses.map(
    ({ bytes, family }) =>
      `(src host ${formatAddress(bytes)} and ${family === 4 ? "icmp[0] = 3" : "icmp6[0] = 1"})`,
  );
  return [`((tcp or udp) and (${responses.join(" or ")}))`, ...new Set(errors)].join(" or ");
}

/**
 * The filter without the packets that copies send to this intercept, which must never be caught. They go to an address of this
 * host: a client may well have the same port.
 */
function withoutChannel(
  filter: string,
  listen: readonly Address[],
  port: number,
  own: readonly Address[],
): string {
  const everywhere = listen.filter(isUnspecified).map(({ family }) => family);
  const named = listen.filter((address) => !isUnspecified(address));
  const hosts = [...named, ...own.filter(({ family }) => everywhere.includes(family))];
  const texts = new Set(hosts.map(({ bytes }) => `dst host ${formatAddress(bytes)}`));
  if (texts.size === 0) return filter;
  return `(${filter}) and not (tcp dst port ${port} and (${[...texts].join(" or ")}))`;
}

/** The plan of catching with these options on this host. Throws a Failure if it cannot be done. */
export function makeInterceptPlan(
  options: InterceptOptions,
  hasKey: boolean,
  host: InterceptHost,
): InterceptPlan {
  const mode = chooseMode(options, host);
  const { services, port } = options;
  const given: Record<string, boolean> = {
    interface: options.interfaces.length > 0,
    dnat: options.dnat,
    single: options.compat?.single === true,
  };
  refuseForeignOptions(mode, (name) => given[name] === true);
  if (mode === "target" && options.hook === "xdp") {
    const fix = "Give auto, tcx or clsact.";
    throw new Failure(
      'Cannot use --hook "xdp": in mode target responses are caught on their way out',
      fix,
      2,
    );
  }
  if (options.insecure && mode !== "target") {
    throw new Failure(
      `Cannot use --insecure in mode ${mode}: connections would have to be registered, and without a key anybody could register those of others`,
      'Give both sides a key ("xcopy key FILE"), or catch on the target with -o alone.',
      2,
    );
  }
  // A tcpcopy 1.x does not prove that it knows the key.
  const listen = chooseListen(options, hasKey && !options.compat, host);
  const where = formatEndpoint(listen[0]!.bytes, port);
  const warnings: string[] = [];
  if (options.compat) {
    const isOpen = options.compat.from.some(({ length }) => length === 0);
    warnings.push(
      isOpen
        ? `A tcpcopy 1.x has no key, and no --compat-from names its host: ANY HOST that can connect to ${where} can take the responses, those to others too.`
        : `A tcpcopy 1.x has no key: who connects to ${where} from ${options.compat.from.map(formatNetwork).join(", ")} can take the responses.`,
    );
  }
  if (options.insecure) {
    warnings.push(
      `--insecure: copies are not authenticated; any host that can connect to ${where} can take the responses to connections that it opens, or that seem to come from others.`,
    );
  }
  for (const service of services) {
    if (mode === "assistant" || !service.address || host.isLocal(service.address.bytes)) continue;
    warnings.push(`${formatService(service)} is not an address of this host.`);
  }
  if (mode === "nfqueue" && services.length === 0)
    warnings.push(
      `Without -o xcopy makes no rule: your own rules decide which packets go to queue ${options.queue} and are caught.`,
    );
  if (mode === "nfqueue" && options.pass.length === 0)
    warnings.push(
      "All responses from these ports are dropped, also those to real clients (-x names clients that still get theirs).",
    );
  if (mode === "target" && options.compat) {
    warnings.push(
      "A tcpcopy 1.x registers a connection only while it opens it: the first response may reach the client before that (not with --mode nfqueue).",
    );
  }
  const filter = options.filter ?? filterFor(services);
  const interfaces = mode === "nfqueue" ? [] : chooseInterfaces(options.interfaces, host.interfaces);
  return {
    mode,
    services,
    filter: mode === "assistant" ? withoutChannel(filter, listen, port, host.addresses()) : null,
    interfaces,
    prefersXdp: mode === "assistant" && options.hook === "auto" && prefersXdp(interfaces, host),
    listen,
    port,
    warnings,
  };
}
