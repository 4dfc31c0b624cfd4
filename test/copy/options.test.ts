/** The options of `xcopy copy`: defaults, values, errors. */
import { describe, expect, test } from "bun:test";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { formatAddress } from "../../src/config/address.ts";
import { parseCopy } from "../../src/copy/options.ts";
import { failing } from "../config/failing.ts";

const parse = (...args: string[]) => parseCopy(parseArguments(COPY, ["-x", "80-10.0.0.2", ...args]));

const NO_MYSQL = {
  users: [],
  skipGrant: false,
  database: "",
  readOnly: false,
  skipDdl: false,
  accounts: false,
  trustLogins: false,
};

test("what is not given has its default", () => {
  const { transfers, ...rest } = parse();
  expect(transfers.map(({ label }) => label)).toEqual(["80-10.0.0.2"]);
  expect(rest).toEqual({
    pool: [],
    intercepts: [],
    isReloadable: false,
    connections: 1,
    keyFile: null,
    insecure: false,
    probeFrom: [],
    compat: false,
    inputs: [],
    trace: { speed: 1, longestGap: 0, loops: 1, start: null, end: null, rate: 0, users: 0 },
    traceOptions: [],
    memory: null,
    mtu: null,
    timeout: 600,
    keepalive: 604_800,
    datagramTimeout: 5,
    datagramKeepalive: 120,
    noFragment: false,
    maxSessions: 262144,
    scheduling: { workers: null, cpus: [], nice: null, cpuLimit: 0 },
    ports: null,
    part: null,
    sample: 1,
    ramp: 0,
    limit: 0,
    replicas: 1,
    jitter: 0,
    fullSessions: false,
    noWait: false,
    pace: "clock",
    late: null,
    turnTimeout: 5,
    rtt: 0,
    proxyProtocol: 0,
    drain: 2,
    json: false,
    statsInterval: null,
    log: null,
    logFormat: "text",
    daemon: false,
    pidFile: null,
    dryRun: false,
    force: false,
    capture: {
      backEnd: "auto",
      direction: "in",
      filter: null,
      bufferBytes: null,
      snaplen: 524288,
    },
    captureOptions: [],
    inject: "auto",
    output: null,
    mark: 0xc0,
    protocols: [],
    speaksMysql: false,
    mysql: NO_MYSQL,
    comparison: null,
    audience: { reports: [], web: null },
  });
});

test("--probe-from takes an address of each family", () => {
  const { probeFrom } = parse("-s", "a", "--probe-from", "10.1.0.9,2001:db8::9");
  expect(probeFrom.map(({ bytes }) => formatAddress(bytes))).toEqual(["10.1.0.9", "2001:db8::9"]);
});

test("what is given is taken", () => {
  const args =
    "-x 81-10.0.0.3 -c 10.1.0.1 -c 10.1.0.2 -i lo -i eth0 -m 2048 -M 1400 -t 120 --max-sessions 1000";
  const more =
    "--ports 20000-29999 --drain 0.5 --json --stats-interval 0.1 -l /x --log-format json -d -P /pid --dry-run --force --capture clsact --mark 7 -F tcp -B 8 -S 1500 --direction out --inject raw -o eth1";
  const pace =
    "--no-fragment -k 300 -f 3/8 -r 12.5 -g 1.5 --limit 500/s -n 3 --jitter 0.5 -O --pace fast --late drop:2.5 --turn-timeout 0.25 -R 30 --proxy-protocol v2";
  const intercepts = "-s 10.0.0.2,[2001:db8::2]:99 -s catcher -p 1234 -C 3 --key-file /k --compat -L";
  const trace = "-a 2.5 -I 100 -T 3 --start 5 --end 2026-01-31T22:00:00+01:00 --rate 2000/s --users 7";
  const cpus = "--workers 3 --cpus 5,2-3,3 --nice idle --cpu-limit 150";
  const words = `${args} ${more} ${pace} ${intercepts} ${trace} ${cpus}`.split(" ");
  const { transfers, pool, intercepts: found, ...rest } = parse(...words);
  expect(found.map(({ label, port }) => `${label} ${port}`)).toEqual([
    "10.0.0.2 1234",
    "[2001:db8::2]:99 99",
    "catcher 1234",
  ]);
  expect(found[2]!.host).toEqual({ name: "catcher" });
  expect(transfers.map(({ label }) => label)).toEqual(["80-10.0.0.2", "81-10.0.0.3"]);
  expect(pool.map(({ bytes }) => [...bytes])).toEqual([
    [10, 1, 0, 1],
    [10, 1, 0, 2],
  ]);
  expect(rest).toEqual({
    isReloadable: false,
    connections: 3,
    keyFile: "/k",
    insecure: false,
    probeFrom: [],
    compat: true,
    inputs: ["lo", "eth0"],
    trace: {
      speed: 2.5,
      longestGap: 100,
      loops: 3,
      start: { after: 5_000_000 },
      end: { at: Date.UTC(2026, 0, 31, 21) * 1000 },
      rate: 2000,
      users: 7,
    },
    traceOptions: ["speed", "longest-gap", "loops", "start", "end", "rate", "users"],
    memory: 2048 * 1048576,
    mtu: 1400,
    timeout: 120,
    keepalive: 300,
    datagramTimeout: 120,
    datagramKeepalive: 300,
    noFragment: true,
    maxSessions: 1000,
    scheduling: { workers: 3, cpus: [5, 2, 3], nice: "idle", cpuLimit: 1.5 },
    ports: [20000, 29999],
    part: { index: 3, count: 8 },
    sample: 0.125,
    ramp: 1_500_000,
    limit: 500,
    replicas: 3,
    jitter: 0.5,
    fullSessions: true,
    noWait: false,
    pace: "fast",
    late: { after: 2_500_000, spreads: false },
    turnTimeout: 0.25,
    rtt: 30,
    proxyProtocol: 2,
    drain: 0.5,
    json: true,
    statsInterval: 0.1,
    log: "/x",
    logFormat: "json",
    daemon: true,
    pidFile: "/pid",
    dryRun: true,
    force: true,
    capture: {
      backEnd: "clsact",
      direction: "out",
      filter: "tcp",
      bufferBytes: 8 << 20,
      snaplen: 1500,
    },
    captureOptions: ["capture", "direction", "filter", "buffer", "snaplen"],
    inject: "raw",
    output: "eth1",
    mark: 7,
    protocols: [],
    speaksMysql: false,
    mysql: NO_MYSQL,
    comparison: null,
    audience: { reports: [], web: null },
  });
});

test.each([
  ["-W", { noWait: true }],
  ["-W --pace clock -R 30", { noWait: true, rtt: 30 }],
  ["--pace think", { pace: "think" }],
  ["--pace client", { pace: "think" }],
  ["--late wait", { late: null }],
  ["--late drop:0.5 -W", { late: { after: 500_000, spreads: false } }],
  ["--late spread", { late: { after: 100_000, spreads: true } }],
  ["--late spread:2", { late: { after: 2_000_000, spreads: true } }],
  ["-t 60", { timeout: 60, keepalive: 604_800, datagramTimeout: 60 }],
  ["-r 100", { sample: 1 }],
  ["-r 0.01", { sample: 0.0001 }],
  ["-g 100", { sample: 1, ramp: 100e6 }],
  ["--limit 500", { limit: 500 }],
  ["-a max", { trace: { speed: Number.POSITIVE_INFINITY } }],
  ["--users 5", { trace: { speed: Number.POSITIVE_INFINITY, users: 5 } }],
  ["--limit 0.5/s", { limit: 0.5 }],
  ["-n 10000", { replicas: 10000 }],
  ["-n 1 --jitter 5", { replicas: 1, jitter: 5 }],
  ["--proxy-protocol v1", { proxyProtocol: 1 }],
  ["--proxy-protocol none", { proxyProtocol: -1 }],
  ["--workers auto", { scheduling: { workers: "auto" } }],
  ["--workers 64 --cpus 0", { scheduling: { workers: 64, cpus: [0] } }],
  ["--nice 19", { scheduling: { nice: 19 } }],
  ["--cpu-limit 2.5", { scheduling: { cpuLimit: 0.025 } }],
])("%s", (words, options) => {
  expect(parse(...words.split(" "))).toMatchObject(options);
});

test.each([
  ["--workers 0", 'Cannot use --workers "0": neither "auto" nor a whole number from 1 to 64'],
  ["--workers 65", 'Cannot use --workers "65": neither "auto" nor a whole number from 1 to 64'],
  ["--cpus 0,x", 'Cannot use --cpus "x": neither a CPU nor a range of CPUs'],
  ["--cpus 3-2", 'Cannot use --cpus "3-2": neither a CPU nor a range of CPUs'],
  ["--nice 20", 'Cannot use --nice "20": neither "idle" nor a whole number from 0 to 19'],
  ["--cpu-limit 0.5", 'Cannot use --cpu-limit "0.5": not a number from 1 to 819200'],
  ["-a 0", 'Cannot use -a "0": neither "max" nor a number from 0.1 to 1000'],
  ["--start yesterday", 'Cannot use --start "yesterday": neither seconds nor a time'],
  ["--end 2026-01-31T22:00:00", 'Cannot use --end "2026-01-31T22:00:00": neither seconds nor a time'],
  ["--pace slow", 'Cannot use --pace "slow": no such pace'],
  ["--late 5", 'Cannot use --late "5": not a rule for late requests'],
  ["--late wait:5", 'Cannot use --late "wait:5": not a rule for late requests'],
  ["--late drop", 'Cannot use --late "drop": not a rule for late requests'],
  ["--late drop:0", 'Cannot use --late "drop:0": "0" is not a number from 0.001 to 86400'],
  ["--late spread:x", 'Cannot use --late "spread:x": "x" is not a number from 0.001 to 86400'],
  ["--rate fast", 'Cannot use --rate "fast": not a number from 0.1 to 10000000 per second'],
  ["-s 10.0.0.2:", 'Cannot use -s "10.0.0.2:": it is not address[:port]'],
  ["-s 10.0.0.2:70000", 'Cannot use -s "10.0.0.2:70000": "70000" is not a port from 1 to 65535'],
  ["-s 10.0.0", 'Cannot use -s "10.0.0": "10.0.0" is neither an address nor a name'],
  ["-s 0.0.0.0", 'Cannot use -s "0.0.0.0": "0.0.0.0" cannot be one end of a connection'],
  ["-s a -s a", 'Cannot use -s "a": it is given twice'],
  ["-p 1", 'Cannot use --port "1": it is about intercepts, and there is no -s'],
  ["--compat", "Cannot use --compat: it is about intercepts, and there is no -s"],
  ["-s a --probe-from b", 'Cannot use --probe-from "b": not the address of a host'],
  ["-s a --probe-from 10.0.0.1,10.0.0.2", 'Cannot use --probe-from "10.0.0.1,10.0.0.2": several addresses'],
])("%s is refused", (words, message) => {
  expect(failing(() => parse(...words.split(" "))).message).toStartWith(message);
});

test.each([
  ...["raw", "xdp", "xdp-generic"].map((name) => [
    `--capture ${name} --direction out`,
    `Cannot use --capture "${name}" with --direction "out": ${name === "raw" ? "raw IP sockets see" : "XDP sees"} only what comes in`,
    "Leave --capture out, or use tcx, clsact, packet or pcap.",
  ]),
  [
    "-W --pace fast",
    'Cannot use --pace "fast": with -W requests do not wait for responses',
    "Leave -W or --pace out.",
  ],
  [
    "-W --late spread",
    'Cannot use --late "spread": with -W requests do not wait for responses',
    "Leave -W or --late out.",
  ],
  [
    "-s a --compat --late spread:1",
    'Cannot use --late "spread:1": it reads the responses of the target, and an intercept 1.x sends only their headers',
    "Run xcopy intercept on the target, or leave -s and --compat out.",
  ],
  [
    "--turn-timeout 5 --no-wait",
    'Cannot use --turn-timeout "5": with -W requests do not wait for responses',
    "Leave -W or --turn-timeout out.",
  ],
  [
    "-s a --probe-from 10.1.0.9 -c 10.1.0.1",
    'Cannot use --probe-from "10.1.0.9": with -c each target is tried from the addresses of -c',
    "Leave one of them out.",
  ],
  [
    "--jitter 10",
    'Cannot use --jitter "10": it spreads the copies of a connection, and without -n there is only one',
    "Leave it out, or give the number of copies with -n.",
  ],
])("%s is a contradiction", (words, message, fix) => {
  expect(failing(() => parse(...words.split(" ")))).toEqual({ message, fix, exitCode: 2 });
});

test("-g without a time", () => {
  for (const words of [["-g"], ["-g", "-r", "10"]]) {
    expect(failing(() => parse(...words))).toEqual({
      message: 'Cannot use option "-g": it needs a value',
      fix: 'Write it as "-g SECONDS".',
      exitCode: 2,
    });
  }
});

describe("numbers out of range", () => {
  test.each([
    ["-m", "15", "not a whole number from 16 to 65536"],
    ["-m", "65537", "not a whole number from 16 to 65536"],
    ["-M", "575", "not a whole number from 576 to 65535"],
    ["-t", "0", "not a whole number from 1 to 86400"],
    ["-t", "10s", "not a whole number from 1 to 86400"],
    ["--max-sessions", "0", "not a whole number from 1 to 16777216"],
    ["--drain", "3601", "not a number from 0 to 3600"],
    ["--stats-interval", "0", "not a number from 0.1 to 86400"],
    ["--mark", "0", "not a number from 1 to 0xffffffff"],
    ["--capture", "ebpf", "no such way to capture"],
    ["--direction", "both", "no such direction"],
    ["-B", "0", "not a whole number from 1 to 4096"],
    ["-S", "127", "not a whole number from 128 to 65535"],
    ["--ports", "1", "not a range of two ports"],
    ["-k", "0", "not a whole number from 1 to 864000"],
    ["-r", "0", "not a number from 0.01 to 100"],
    ["-r", "100.1", "not a number from 0.01 to 100"],
    ["-r", "10%", "not a number from 0.01 to 100"],
    ["-g", "0", "not a number from 1 to 86400"],
    ["--limit", "0", "not a number from 0.1 to 10000000 per second"],
    ["--limit", "500/m", "not a number from 0.1 to 10000000 per second"],
    ["--limit", "/s", "not a number from 0.1 to 10000000 per second"],
    ["-n", "0", "not a whole number from 1 to 10000"],
    ["-n", "10001", "not a whole number from 1 to 10000"],
    ["-n", "2.5", "not a whole number from 1 to 10000"],
    ["-f", "1024", "not a whole number from 0 to 1023"],
    ["--turn-timeout", "0", "not a number from 0.001 to 86400"],
    ["-R", "60001", "not a number from 0 to 60000"],
    ["--pace", "slow", "no such pace"],
    ["--proxy-protocol", "1", "no such version"],
  ])("%s %s: %s", (option, value, cause) => {
    expect(failing(() => parse(option, value))).toMatchObject({
      message: `Cannot use ${option} "${value}": ${cause}`,
      exitCode: 2,
    });
  });
});

test("every letter of tcpcopy 1.x is an option or is refused with a reason", () => {
  for (const letter of "xHciaITFBSonfmMDRUCstkrpPOgWLdlvh") {
    const known = Object.values(COPY.groups)
      .flat()
      .some(({ short }) => short === letter);
    expect([letter, known || "vh".includes(letter) || letter in COPY.refused!]).toEqual([letter, true]);
  }
});

test("no letter is both an option and refused", () => {
  const letters = Object.values(COPY.groups)
    .flat()
    .flatMap(({ short }) => short ?? []);
  expect(letters.filter((letter) => letter in COPY.refused!)).toEqual([]);
});
