/** What the response program must do with a packet, by bpf/README.md. */
import type { Prefix } from "../../../src/wire/prefix.ts";
import { hexOf, type Ip, icmpOf, ipOf, type Segment, tcpOf, Unknown, udpOf } from "./dissect.ts";
import { UDP } from "./packets.ts";
import { DROP, type Expected, lengthWithPrefix, PASS, recordOf, type Seen } from "./reference.ts";

const MOST_HEADERS = 128;
/** ms; a first fragment is remembered for 1 s. */
const SURELY_WITHIN = 400;
const UNREACHABLE = { 4: 3, 6: 1 };
const NOTHING: Expected = { verdict: PASS, record: null, counted: {} };

export interface Path {
  transport: "tcp" | "udp";
  family: 4 | 6;
  target: Uint8Array;
  local: Uint8Array;
  targetPort: number;
  payload?: Prefix;
}

export class ResponseReference {
  readonly #fragmented = new Map<string, number>();

  /** `ports`: local ports of flows of ours, on every path. */
  constructor(
    private readonly paths: Path[],
    private readonly ports: number[],
    private readonly isAlive: boolean,
  ) {}

  response(seen: Seen): Expected {
    const { frame } = seen;
    const ip = ipOf(frame);
    const tcp = tcpOf(frame, ip);
    if (tcp) return this.#answer(frame, tcp);
    if (ip?.protocol === UDP) return this.#datagram(seen, ip);
    return this.#icmp(frame);
  }

  #answer(frame: Uint8Array, tcp: Segment): Expected {
    const path = this.#find("tcp", tcp.source, tcp.sourcePort, tcp.destination, tcp.destinationPort);
    if (path < 0) return NOTHING;
    if (!this.isAlive) return { ...NOTHING, counted: { inert: 1 } };
    const { payload } = this.paths[path]!;
    if (payload) {
      const captured = Math.min(lengthWithPrefix(frame, tcp, payload), 65_535);
      return recordOf(frame, tcp, captured, path, "responses", {}, DROP);
    }
    if (tcp.payload > MOST_HEADERS) return { verdict: DROP, record: null, counted: { oversize: 1 } };
    return recordOf(frame, tcp, tcp.payload, path, "responses", {}, DROP);
  }

  #datagram({ frame, context, now }: Seen, ip: Ip): Expected {
    const key = [ip.source, ip.destination, ip.id].join();
    if (ip.said < ip.transport) return NOTHING;
    if (ip.offset > 0) {
      const first = this.#fragmented.get(key);
      if (first !== undefined && now - first > SURELY_WITHIN) throw new Unknown();
      return first === undefined ? NOTHING : { ...NOTHING, verdict: DROP };
    }
    const udp = udpOf(frame, ip);
    const path = udp
      ? this.#find("udp", udp.source, udp.sourcePort, udp.destination, udp.destinationPort)
      : -1;
    if (!udp || path < 0) return NOTHING;
    if (!this.isAlive) return { ...NOTHING, counted: { inert: 1 } };
    if (ip.more) this.#fragmented.set(key, now);
    // Every answer that is lost is counted.
    if (udp.payload > MOST_HEADERS) return { verdict: DROP, record: null, counted: { oversize: 1 } };
    const several = ip.more ? 0 : (context.gsoSize ?? 0);
    return recordOf(frame, udp, udp.payload, path, "responses", { think: several || -1 }, DROP);
  }

  /** "Packet too big" about a segment of ours is captured and passes; "unreachable" about a datagram of ours is captured and dropped. */
  #icmp(frame: Uint8Array): Expected {
    const error = icmpOf(frame);
    if (!error || !this.isAlive) return NOTHING;
    const { ip, type, code, quoted } = error;
    const isTooBig = ip.family === 4 ? type === 3 && code === 4 : type === 2;
    const isUdp = quoted.protocol === UDP;
    if (isUdp ? type !== UNREACHABLE[ip.family] : !isTooBig) return NOTHING;
    const path = this.#find(
      isUdp ? "udp" : "tcp",
      quoted.destination,
      quoted.destinationPort,
      quoted.source,
      quoted.sourcePort,
    );
    if (path < 0) return NOTHING;
    const verdict = isUdp ? DROP : PASS;
    const length = ip.family === 4 ? ip.said : ip.said || 40;
    const message = {
      ...ip,
      sourcePort: 0,
      destinationPort: 0,
      seq: 0,
      ack: 0,
      flags: 0,
      transport: 0,
      payload: 0,
      length,
    };
    const { record } = recordOf(
      frame,
      message,
      Math.min(length, MOST_HEADERS),
      path,
      "responses",
      {},
      verdict,
    );
    return { verdict, record, counted: {} };
  }

  #find(transport: "tcp" | "udp", target: string, targetPort: number, local: string, port: number): number {
    if (!this.ports.includes(port)) return -1;
    return this.paths.findIndex(
      (path) =>
        path.transport === transport &&
        hexOf(path.target) === target &&
        hexOf(path.local) === local &&
        path.targetPort === targetPort,
    );
  }
}
