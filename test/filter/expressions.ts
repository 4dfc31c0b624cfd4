/** Expressions of pcap-filter(7), and packets that they match now and then: both draw from the same few values. */
import { build, type Frame } from "../bpf/build.ts";
import { fc } from "../config/seed.ts";

const frame = (fields: Frame) => build(fields).bytes;

const ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.1.2.3", "192.168.1.1", "224.0.0.5"];
const ADDRESSES6 = ["fd00::1", "fd00::2", "fd00:1::3", "ff02::1"];
const PORTS = [80, 8080, 443, 50000];
const VLANS = [5, 7];
const MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff"];

const words = (...parts: fc.Arbitrary<string>[]) =>
  fc.tuple(...parts).map((each) => each.filter(Boolean).join(" "));
const one = (...texts: string[]) => fc.constantFrom(...texts);
const port = fc.constantFrom(...PORTS).map(String);
const direction = one("", "", "src", "dst", "src or dst", "src and dst");
const number = fc.oneof(
  fc.nat(64).map(String),
  one("0x0800", "0x86dd", "0xff", "0xffff", "0x80000000", "0xffffffff", "8080", "80", "1000"),
);

const qualified = fc.oneof(
  words(direction, one("host"), one(...ADDRESSES, ...ADDRESSES6)),
  words(
    direction,
    one("net"),
    one("10.0.0.0/8", "10.0.0.0/31", "10.0/16", "fd00::/16", "fd00::/127", "fd00:1::/33"),
  ),
  words(one("", "tcp", "udp", "ip", "ip6"), direction, one("port"), port),
  words(one("", "tcp", "udp"), direction, one("portrange"), one("80-8080", "8080-50000", "1-79")),
  words(one("ether"), one("src", "dst", "host"), one(...MACS)),
);

const plain = fc.oneof(
  one(
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "igmp",
    "ip proto 47",
    "ip6 proto 6",
    "ip6 proto 44",
  ),
  one("ether broadcast", "ether multicast", "ip multicast", "ip6 multicast", "ether proto 0x88cc"),
  one(
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp[13] = 0x18",
    "icmp[icmptype] = icmp-echo",
    "ip[6:2] & 0x1fff = 0",
  ),
  one("tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420", "ip6[40] = 6", "ip[0] & 0xf != 5"),
  words(one("less", "greater", "len >", "len <="), one("54", "60", "61", "100", "1000")),
);

/** What follows one of these is sought behind the header that it stands for. */
const shifting = fc.oneof(
  words(one("vlan"), fc.constantFrom("", ...VLANS.map(String))),
  words(one("mpls"), one("", "1024")),
  one("pppoes", "pppoes 3", "geneve", "geneve 7"),
);

const { arithmetic } = fc.letrec<{ arithmetic: string }>((tie) => ({
  arithmetic: fc.oneof(
    { maxDepth: 3, depthIdentifier: "arithmetic" },
    number,
    one("len"),
    fc
      .tuple(one("ether", "ip", "ip6", "tcp", "udp", "link"), tie("arithmetic"), one("", ":1", ":2", ":4"))
      .map(([protocol, at, size]) => `${protocol}[${at}${size}]`),
    fc
      .tuple(tie("arithmetic"), one("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"), tie("arithmetic"))
      .map(([left, operator, right]) => `(${left} ${operator} ${right})`),
    tie("arithmetic").map((operand) => `(-${operand})`),
  ),
}));

const relation = fc
  .tuple(arithmetic, one("=", "!=", "<", "<=", ">", ">="), arithmetic)
  .map(([left, operator, right]) => `${left} ${operator} ${right}`);

/** libpcap refuses some of them: "expression rejects all packets", "division by zero". */
export const expression: fc.Arbitrary<string> = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, depthIdentifier: "any" },
    { weight: 4, arbitrary: qualified },
    { weight: 3, arbitrary: plain },
    { weight: 2, arbitrary: relation },
    { weight: 1, arbitrary: shifting },
    { weight: 2, arbitrary: tie("any").map((operand) => `not (${operand})`) },
    {
      weight: 6,
      arbitrary: fc
        .tuple(tie("any"), one("and", "or"), tie("any"))
        .map(([left, operator, right]) => `(${left} ${operator} ${right})`),
    },
  ),
})).any;

function macOf(text: string): number[] {
  return text.split(":").map((byte) => parseInt(byte, 16));
}

const optional = <T>(arbitrary: fc.Arbitrary<T>, often = 3) =>
  fc.option(arbitrary, { nil: undefined, freq: often });

const frames: fc.Arbitrary<Frame> = fc.constantFrom(ADDRESSES, ADDRESSES6).chain((addresses) =>
  fc.record({
    source: fc.constantFrom(...addresses),
    destination: fc.constantFrom(...addresses),
    sourceMac: fc.constantFrom(...MACS).map(macOf),
    destinationMac: fc.constantFrom(...MACS).map(macOf),
    tags: fc.constantFrom([], [], [], [0x8100], [0x88a8], [0x88a8, 0x8100]),
    sourcePort: fc.constantFrom(...PORTS),
    destinationPort: fc.constantFrom(...PORTS),
    flags: fc.nat(255),
    payload: fc.constantFrom<(string | number)[]>("GET / HTTP/1.1\r\n", 0, 1, 40, 1200),
    ipOptions: fc.constantFrom(0, 0, 0, 4, 40),
    tcpOptions: fc.constantFrom(0, 12, 40),
    extensions: fc.constantFrom<number[][]>([], [], [0], [44], [43, 60]),
    fragmentOffset: fc.constantFrom(0, 0, 0, 8),
    moreFragments: fc.boolean(),
    protocol: fc.constantFrom(6, 6, 6, 17, 1, 58, 47),
  }),
) as fc.Arbitrary<Frame>;

/** EtherTypes and the headers behind them: MPLS, PPPoE sessions with IPv4, ARP, nothing known. */
const headers = fc.constantFrom(
  [0x88, 0x47, 0x00, 0x40, 0x01, 0x40],
  [0x88, 0x47, 0x00, 0x40, 0x00, 0x40, 0x00, 0x02, 0x01, 0x40],
  [0x88, 0x64, 0x11, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x21],
  [0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01],
  [0x88, 0xcc],
);

/** UDP to the port of Geneve, network 7, with Ethernet in it. */
function geneve(inner: Uint8Array): Uint8Array {
  const payload = Uint8Array.from([0, 0, 0x65, 0x58, 0, 0, 7, 0, ...inner]);
  const udp = frame({ source: "10.0.0.1", destination: "10.0.0.2", protocol: 17 }).slice(0, 34);
  return Uint8Array.from([...udp, 0xc3, 0x50, 0x17, 0xc1, 0, 8 + payload.length, 0, 0, ...payload]);
}

/** Tag control of each VLAN tag of a frame, in place. */
function withVlans(bytes: Uint8Array, vlans: number[]): Uint8Array {
  for (let at = 12, next = 0; at + 4 <= bytes.length; at += 4, next++) {
    const type = (bytes[at]! << 8) | bytes[at + 1]!;
    if (type !== 0x8100 && type !== 0x88a8) break;
    bytes[at + 3] = vlans[next % vlans.length]!;
  }
  return bytes;
}

const whole = fc.oneof(
  { weight: 8, arbitrary: frames.map((fields) => frame(fields)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(frames, headers)
      .map(([fields, header]) => [...frame({ ...fields, tags: [] })].toSpliced(12, 2, ...header))
      .map((bytes) => Uint8Array.from(bytes)),
  },
  { weight: 1, arbitrary: frames.map((fields) => geneve(frame(fields))) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 15, maxLength: 128 }) },
);

/** Ethernet frames of 15 bytes (the least that a test run takes) and more; some cut off anywhere, some with a wrong byte. */
export const packet: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    whole,
    fc.array(fc.constantFrom(...VLANS), { minLength: 1, maxLength: 2 }),
    optional(fc.nat(100), 4),
    optional(fc.tuple(fc.nat(), fc.nat(255)), 4),
  )
  .map(([bytes, vlans, cut, wrong]) => {
    const packet = withVlans(Uint8Array.from(bytes), vlans);
    if (wrong) packet[wrong[0] % packet.length] = wrong[1];
    return inBuffer(cut === undefined ? packet : packet.slice(0, 15 + cut));
  });

/** Copies to memory of its own, whose address can be given away. */
export function inBuffer(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
