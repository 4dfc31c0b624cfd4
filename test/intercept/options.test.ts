/** The options of intercept and their combinations, also those of intercept 1.x. */
import { describe, expect, test } from "bun:test";
import { INTERCEPT } from "../../src/command-line/intercept.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { fromIntercept } from "../../src/command-line/reading/tcpcopy.ts";
import { formatAddress, parseAddress, sameAddress } from "../../src/config/address.ts";
import { formatNetwork } from "../../src/config/networks.ts";
import { isUsedBy } from "../../src/intercept/assistant-hook.ts";
import { parseIntercept } from "../../src/intercept/options.ts";
import { makeInterceptPlan } from "../../src/intercept/plan.ts";
import { parseSockets } from "../../src/native/sockets.ts";
import { failing } from "../config/failing.ts";

const OWN = ["10.0.0.2", "10.0.0.3", "fd00::2"].map((text) => parseAddress(text)!);
const ADDRESSES = OWN.map(({ bytes }) => bytes);
const HOST = {
  interfaces: [
    { name: "lo", ifindex: 1, up: true },
    { name: "eth0", ifindex: 2, up: true },
    { name: "eth1", ifindex: 3, up: false },
  ],
  isLocal: (bytes: Uint8Array) => OWN.some((own) => sameAddress(own.bytes, bytes)),
  addresses: () => OWN,
  ownAddress: () => OWN[0]!,
  driverOf: (name: string) => (name === "eth0" ? "ice" : null),
  isUsed: () => false,
};

const COMPAT = ["--compat", "--compat-from", "10.0.0.1"];
const parse = (words: string[]) => parseIntercept(parseArguments(INTERCEPT, words));
const plan = (words: string[], hasKey = true) => makeInterceptPlan(parse(words), hasKey, HOST);
const listen = (words: string[], hasKey = true) =>
  plan(words, hasKey).listen.map(({ bytes }) => formatAddress(bytes));

/** What an upstream command line means: 0.0.0.0/0 and ::/0. */
const EVERYWHERE = [4, 16].map((length) => ({ address: new Uint8Array(length), length: 0 }));

describe("the mode", () => {
  test.each([
    [["-o", ":80"], "target"],
    [["-o", "10.0.0.2:80,:81"], "target"],
    [["-o", "10.7.7.7:80"], "assistant"],
    [["-F", "tcp and src port 80"], "assistant"],
    [["-o", "10.7.7.7:80", "--mode", "target"], "target"],
    [["-o", ":80", "--mode", "nfqueue"], "nfqueue"],
    [["-o", ":80", "-x", "10.1.0.1"], "nfqueue"],
    [["-q", "4096"], "nfqueue"],
  ] as const)("of %j is %s", (words, mode) => {
    expect(plan([...words]).mode).toBe(mode);
  });

  test("is not guessed if some services are on this host and some on others", () => {
    expect(failing(() => plan(["-o", "10.7.7.7:80,:81"])).message).toBe(
      'Cannot use -o "10.7.7.7:80" with -o ":81": the first is on another host, the second on this one',
    );
  });
});

describe("an assistant uses XDP by default", () => {
  const FILTER = ["-F", "tcp"];
  const chosen = (words: string[], host = HOST) => makeInterceptPlan(parse(words), true, host).prefersXdp;

  test.each([
    ["where the drivers are good at it", [...FILTER, "-i", "eth0"], true],
    ["not where one of them is not", [...FILTER, "-i", "eth0,eth1"], false],
    ["not on every interface", FILTER, false],
    ["not where it is told how", [...FILTER, "-i", "eth0", "--hook", "tcx"], false],
  ] as const)("%s", (_, words, expected) => {
    expect(chosen([...words])).toBe(expected);
  });

  test("not if others would be disturbed", () => {
    expect(chosen([...FILTER, "-i", "eth0"], { ...HOST, isUsed: () => true })).toBe(false);
  });

  const ANYWHERE = "00000000";
  const ETH0 = "0200000A";
  const ETH0_MAPPED = "0000000000000000FFFF0000" + ETH0;
  const ETH0_IPV6 = "000000FD000000000000000002000000";
  const OTHER = "0100007F";
  const CONNECTED = "01";
  const LISTENING = "0A";
  const UNCONNECTED = "07";
  test.each([
    ["tcp", "SSH that listens", ANYWHERE, "0016", LISTENING, false],
    ["tcp", "SSH that is in use there", ETH0, "0016", CONNECTED, true],
    ["tcp", "SSH that is in use elsewhere", OTHER, "0016", CONNECTED, false],
    ["tcp", "SSH that is in use there, by a socket for IPv6", ETH0_MAPPED, "0016", CONNECTED, true],
    ["tcp", "a service", ANYWHERE, "0050", LISTENING, true],
    ["tcp", "a service on its address", ETH0, "0050", LISTENING, true],
    ["tcp", "a service on its IPv6 address", ETH0_IPV6, "0050", LISTENING, true],
    ["tcp", "a service for IPv6", "0".repeat(32), "0050", LISTENING, true],
    ["tcp", "a service of another interface", OTHER, "0050", LISTENING, false],
    ["udp", "a service by UDP", ANYWHERE, "0035", UNCONNECTED, true],
    ["udp", "a service by UDP of another interface", OTHER, "0035", UNCONNECTED, false],
    ["udp", "a client of DHCP", ANYWHERE, "0044", UNCONNECTED, false],
  ] as const)("%s: %s", (table, _, address, port, state, expected) => {
    const text = `  sl  local_address rem_address   st tx_queue\n   0: ${address}:${port} 00000000:0000 ${state} 00000000:00000000\n`;
    const found = parseSockets(text);
    const [tcp, udp] = table === "tcp" ? [found, []] : [[], found];
    expect(isUsedBy(tcp, udp, ADDRESSES)).toBe(expected);
  });
});

describe("the filter", () => {
  test("of services on other hosts", () => {
    expect(plan(["-o", "10.7.7.7:80,[fd07::7]:80-90"]).filter).toBe(
      "(((tcp or udp) and ((src host 10.7.7.7 and src port 80) or (src host fd07::7 and src portrange 80-90))) or " +
        "(src host 10.7.7.7 and icmp[0] = 3) or (src host fd07::7 and icmp6[0] = 1)) and " +
        "not (tcp dst port 36524 and (dst host 10.0.0.2 or dst host 10.0.0.3 or dst host fd00::2))",
    );
  });

  test("spares the channel, and no client that has its port", () => {
    expect(plan(["-F", "tcp", "-p", "4000"]).filter).toBe(
      "(tcp) and not (tcp dst port 4000 and (dst host 10.0.0.2 or dst host 10.0.0.3 or dst host fd00::2))",
    );
    expect(plan(["-F", "tcp", "-b", "10.0.0.3"]).filter).toBe(
      "(tcp) and not (tcp dst port 36524 and (dst host 10.0.0.3))",
    );
  });

  test("is not needed on the target", () => {
    expect(plan(["-o", ":80"]).filter).toBeNull();
  });
});

describe("copies are taken", () => {
  test.each([
    [["-o", ":80"], ["10.0.0.2"]],
    [["-o", "10.0.0.3:80"], ["10.0.0.3"]],
    [["-o", ":80", "-b", "fd00::2"], ["fd00::2"]],
  ])("without a key on one address: %j", (words, addresses) => {
    const insecure = [...words, "--insecure"];
    expect(listen(insecure, false)).toEqual(addresses);
    expect(plan(insecure, false).warnings[0]).toMatch(/^--insecure: .* any host that can connect to /);
  });

  test("without a key never where flows must be registered", () => {
    for (const words of [
      ["-F", "tcp"],
      ["-o", "10.7.7.7:80"],
      ["-o", ":80", "-x", "10.1.0.1"],
    ]) {
      const failure = failing(() => plan([...words, "--insecure"], false));
      expect(failure.message).toMatch(
        /^Cannot use --insecure in mode (assistant|nfqueue): connections would have to be registered/,
      );
      expect(failure.exitCode).toBe(2);
    }
  });

  test.each([true, false])("with --compat on one address, with a key: %p", (hasKey) => {
    const words = ["-o", ":80", ...COMPAT];
    expect(listen(words, hasKey)).toEqual(["10.0.0.2"]);
    expect(plan(words, hasKey).warnings[0]).toBe(
      "A tcpcopy 1.x has no key: who connects to 10.0.0.2:36524 from 10.0.0.1 can take the responses.",
    );
  });

  test("of an upstream command line from everywhere, loudly, unless it says from where", () => {
    const words = ["-F", "tcp and src port 8080", "-i", "eth0"];
    expect(plan(fromIntercept(words), false).warnings[0]).toContain(
      "ANY HOST that can connect to 10.0.0.2:36524",
    );
    for (const more of [
      ["--compat-from", "10.0.0.0/24,10.1.0.1"],
      ["--compat-from=10.0.0.0/24", "--compat-from", "10.1.0.1"],
    ]) {
      const { compat } = parse(fromIntercept([...words, ...more]));
      expect(compat!.from.map(formatNetwork)).toEqual(["10.0.0.0/24", "10.1.0.1"]);
    }
  });

  test("with a key on all", () => {
    expect(listen(["-o", ":80"], true)).toEqual(["0.0.0.0", "::"]);
    expect(listen(["-o", ":80", "-b", "10.0.0.3,fd00::2"], true)).toEqual(["10.0.0.3", "fd00::2"]);
    expect(plan(["-o", ":80"], true).warnings).toEqual([]);
  });

  test.each(["0.0.0.0", "::", "10.0.0.2,10.0.0.3"])("never on %s without a key, or with --compat", (bind) => {
    for (const more of [["--insecure"], COMPAT]) {
      const failure = failing(() => plan(["-o", ":80", "-b", bind, ...more], false));
      expect(failure.message).toContain("with --insecure or --compat copies may connect to one address only");
      expect(failure.exitCode).toBe(2);
    }
  });
});

describe("command lines of intercept 1.x", () => {
  const upstream = (line: string) => parse(fromIntercept(line.split(" ")));

  test("of an assistant", () => {
    const options = parse(fromIntercept(["-i", "eth0", "-F", "tcp and src port 8080", "-d"]));
    expect(options).toMatchObject({
      mode: "assistant",
      filter: "tcp and src port 8080",
      interfaces: ["eth0"],
      daemon: true,
      log: "/var/log/xcopy-intercept.log",
      compat: { combined: 16, single: false, protected: false, from: EVERYWHERE },
    });
  });

  test("of traditional mode", () => {
    expect(upstream("-x 10.0.0.1,10.0.0.9 -q 65536")).toMatchObject({
      mode: "nfqueue",
      queue: 0,
      queueLength: 65536,
    });
    expect(upstream("-x 10.0.0.1 -q 1024").queueLength).toBeNull();
  });

  test("with everything", () => {
    const options = upstream(
      "-F tcp -n 4 -p 4000 -s 65536 -b 10.0.0.2 -D 172.17.0.2-10.0.0.7 -l /tmp/x.log -P /tmp/x.pid",
    );
    expect(options).toMatchObject({
      port: 4000,
      maxFlows: 65536,
      log: "/tmp/x.log",
      pidFile: "/tmp/x.pid",
      compat: { combined: 4 },
    });
    expect(options.bind.map(({ bytes }) => formatAddress(bytes))).toEqual(["10.0.0.2"]);
    expect(
      options.translations.map(({ from, to }) => [formatAddress(from.bytes), formatAddress(to.bytes)]),
    ).toEqual([["172.17.0.2", "10.0.0.7"]]);
  });

  test("built with --single and --disable-combined, now options", () => {
    expect(upstream("-F tcp --single -c --disable-combined").compat).toEqual({
      combined: 0,
      single: true,
      protected: true,
      from: EVERYWHERE,
    });
  });
});

test.each([
  [[], "Cannot catch responses: neither -o nor -F says which"],
  [["-o", ":80", "-F", "tcp"], "Cannot use -o: -F already says what is caught"],
  [["-o", ":80", "--mode", "bridge"], 'Cannot use --mode "bridge": no such mode'],
  [["-F", "tcp", "-x", "10.0.0.1"], "Cannot use -x: it has no effect in mode assistant"],
  [["-o", ":80", "--mode", "target", "--dnat"], "Cannot use --dnat: it has no effect in mode target"],
  [["-o", ":80", "-x", "10.0.0.1", "-i", "eth0"], "Cannot use -i: it has no effect in mode nfqueue"],
  [["-o", ":80", "-n", "4"], "Cannot use -n: it has no effect without --compat"],
  [["-o", ":80", "--compat-from", "10.0.0.1"], "Cannot use --compat-from: it has no effect without --compat"],
  [
    ["-o", ":80", "--compat"],
    "Cannot use --compat: a tcpcopy 1.x has no key, and any host could take the responses",
  ],
  [
    ["-o", ":80", "--compat", "--compat-from", "online"],
    'Cannot use --compat-from "online": not an IP address or network',
  ],
  [["-F", "tcp", ...COMPAT, "-c"], "Cannot use -c: it has no effect without --single"],
  [
    ["-F", "tcp", ...COMPAT, "-n", "4", "--disable-combined"],
    "Cannot use -n: with --disable-combined nothing is combined",
  ],
  [["-F", "tcp", ...COMPAT, "-n", "17"], 'Cannot use -n "17": not a whole number from 0 to 16'],
  [["-o", ":80", "-D", "10.0.0.1"], 'Cannot use -D "10.0.0.1": not two addresses'],
  [
    ["-o", ":80", "-D", "10.0.0.1-fd00::1"],
    'Cannot use -D "10.0.0.1-fd00::1": one address is IPv4, the other IPv6',
  ],
  [["-o", ":80", "-b", "here"], 'Cannot use -b "here": not an IP address'],
  [["-o", ":80", "-p", "0"], 'Cannot use -p "0": not a whole number from 1 to 65535'],
  [["-o", ":80", "-s", "9"], 'Cannot use -s "9": not a whole number from 1024 to 16777216'],
  [["-o", ":80", "--hook", "socket"], 'Cannot use --hook "socket": no such hook'],
  [
    ["-o", ":80", "--hook", "xdp", "--mode", "target"],
    'Cannot use --hook "xdp": in mode target responses are caught on their way out',
  ],
])("%j is refused", (words, message) => {
  const failure = failing(() => plan(words));
  expect(failure.message).toBe(message);
  expect([failure.exitCode, failure.fix.length > 0]).toEqual([2, true]);
});

test.each([
  [["-o", ":80", "--dnat"], "Cannot use --dnat: it has no effect in mode target"],
  [
    ["-o", ":80", "--hook", "xdp"],
    'Cannot use --hook "xdp": in mode target responses are caught on their way out',
  ],
  [["-o", ":80", "-i", "eth7"], 'Cannot use -i "eth7": no such network interface'],
])("%j is refused on this host", (words, message) => {
  expect(failing(() => plan(words)).message).toBe(message);
});
