/** `xcopy copy` up to the point where it would start, as a user sees it. */
import { describe, expect, test } from "bun:test";
import { possibleCpus } from "../../src/capture/maps.ts";
import { megabytes, ringBytesFor, waitingBytes } from "../../src/host/memory.ts";
import { ALONE, mistake, POWERLESS, xcopy } from "./run.ts";

const TRANSFER = "80-127.0.0.1:8080";
const ALL = '"xcopy copy --help" lists all options.';
const HOW =
  'Write it as [address:]port-target[:port], for example "80-10.0.0.2:8080" or "80-[2001:db8::2]:8080".';

/** Of one worker: its rings are powers of two, and so together more or less than the share of this host's memory. */
const CAPTURED = megabytes(possibleCpus() * ringBytesFor(null, possibleCpus(), 256 << 10));

describe("usage", () => {
  test.each([
    [[], "Cannot copy anything: no -x names a service and its target", HOW],
    [["-x", "80"], 'Cannot use -x "80": there is no target in it', HOW],
    [
      ["-x", "80-10.0.0.256"],
      'Cannot use -x "80-10.0.0.256": "10.0.0.256" is neither an address nor a name',
      HOW,
    ],
    [
      ["-x", TRANSFER, "-x", TRANSFER],
      `Cannot use -x "${TRANSFER}": it is given twice`,
      "Leave one of them out; to send every request several times there is -n.",
    ],
    [
      ["-x", "80-nobody.invalid"],
      'Cannot use -x "80-nobody.invalid": the name "nobody.invalid" does not resolve',
      'Check the name, or write its address: "getent ahosts nobody.invalid" must print one.',
    ],
    [
      ["--transfers", TRANSFER],
      'Cannot use option "--transfers": there is no such option',
      `Did you mean "--transfer"? ${ALL}`,
    ],
    [
      ["-x", TRANSFER, "-s", "10.0.0.3:x"],
      'Cannot use -s "10.0.0.3:x": it is not address[:port] (IPv6 addresses go in brackets)',
      'Write it as address[:port], for example "10.0.0.2" or "[2001:db8::2]:36524".',
    ],
    [
      ["-x", TRANSFER, "-s", "10.0.0.3"],
      "Cannot copy with -s: there is no key that copy and intercept share, and without one anybody could take the responses",
      'Make one ("xcopy key /etc/xcopy/xcopy.key"), and take it to the host of the intercept ("ssh root@HOST mkdir -p /etc/xcopy; scp -p /etc/xcopy/xcopy.key root@HOST:/etc/xcopy/xcopy.key"). To try it out in a network that nobody else can reach: --insecure on both sides.',
    ],
    [
      ["-x", "udp:80-10.0.0.2", "-s", "10.0.0.3", "--insecure"],
      'Cannot use --insecure with -x "udp:80-10.0.0.2": flows of UDP must be registered, and an intercept without a key takes no registrations',
      'Give both sides a key ("xcopy key FILE").',
    ],
    [
      ["-x", TRANSFER, "--insecure"],
      "Cannot use --insecure: it is about intercepts, and there is no -s",
      "Name an intercept with -s.",
    ],
    [
      ["-x", TRANSFER, "-s", "10.0.0.3", "--compat", "--insecure"],
      "Cannot use --insecure: an intercept 1.x has no key in any case",
      "Leave it out.",
    ],
    [
      ["-x", TRANSFER, "-M", "9"],
      'Cannot use -M "9": not a whole number from 576 to 65535',
      "Give a whole number from 576 to 65535 bytes.",
    ],
    [
      ["-x", TRANSFER, "-W", "--pace", "fast"],
      'Cannot use --pace "fast": with -W requests do not wait for responses',
      "Leave -W or --pace out.",
    ],
    [["-x", TRANSFER, "-g"], 'Cannot use option "-g": it needs a value', 'Write it as "-g SECONDS".'],
    [["-x", TRANSFER, "-i", "eth77"], 'Cannot use -i "eth77": no such network interface', "There are: lo."],
    [
      ["-x", TRANSFER, "-c", "10.9.9.9"],
      'Cannot use -c "10.9.9.9": the target 127.0.0.1 is on this host, and would answer to the real host 10.9.9.9',
      "Leave -c out, or name addresses of this host in it.",
    ],
    [
      ["-x", TRANSFER, "-l", "/nonexistent/log"],
      `Cannot use -l "/nonexistent/log": ENOENT: no such file or directory, open '/nonexistent/log'`,
      "Name a file that can be written.",
    ],
  ])("%j", (words, message, fix) => {
    expect(xcopy(["copy", ...words], { within: ALONE })).toEqual(mistake(2, message, fix));
  });
});

describe("a loop", () => {
  test.each([
    ["80-127.0.0.1", "80-127.0.0.1", "127.0.0.1:80"],
    ["80-127.0.0.2:80", "80-127.0.0.2:80", "127.0.0.2:80"],
    ["80-[::1]", "80-[::1]", "[::1]:80"],
    ["127.0.0.1:80-127.0.0.1", "127.0.0.1:80-127.0.0.1", "127.0.0.1:80"],
    ["80-127.0.0.1:81,81-127.0.0.1:82", "80-127.0.0.1:81", "127.0.0.1:81"],
    ["80-127.0.0.1:81,80-127.0.0.1", "80-127.0.0.1", "127.0.0.1:80"],
    ["80-127.0.0.1:81|127.0.0.1*2", "80-127.0.0.1:81|127.0.0.1*2", "127.0.0.1:80"],
  ])("%s is refused", (transfers, label, target) => {
    expect(xcopy(["copy", "-x", transfers], { within: ALONE })).toEqual(
      mistake(
        2,
        `Cannot use -x "${label}": the target ${target} is the service that is copied`,
        "Name another host or port as the target, or write before the port the address of this host that clients use.",
      ),
    );
  });

  test("another address or port of this host is none", () => {
    const { code } = xcopy(["copy", "--dry-run", "-x", "127.0.0.1:80-127.0.0.2:80,81-127.0.0.1:82"], {
      within: ALONE,
    });
    expect(code).toBe(0);
  });
});

/** The last line where it cannot start. */
const pointer = (transfer: string) => `"xcopy doctor -x ${transfer}" looks at everything on the way`;

test("without privileges it says which are missing", () => {
  expect(xcopy(["copy", "-x", TRANSFER], { within: [...ALONE, ...POWERLESS] })).toEqual(
    mistake(
      4,
      "Cannot capture and send packets: this process lacks CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW",
      `Run it as root (sudo), or as a service with these as ambient capabilities too: CAP_BPF loads its eBPF programs, CAP_PERFMON allows them arithmetic with pointers, CAP_NET_ADMIN attaches them, marks packets, makes netfilter rules, and asks for the MAC addresses of next hops, CAP_NET_RAW opens the sockets that send and capture packets.\n${pointer(TRANSFER)}`,
    ),
  );
});

test("an error of the command line is reported before missing privileges", () => {
  const { code } = xcopy(["copy", "-x", TRANSFER, "-i", "eth77"], { within: [...ALONE, ...POWERLESS] });
  expect(code).toBe(2);
});

test("a target without a route", () => {
  expect(xcopy(["copy", "-x", "80-10.0.0.2:8080"], { within: ALONE })).toEqual(
    mistake(
      3,
      'Cannot reach target "10.0.0.2": no route (-x "80-10.0.0.2:8080")',
      `Add a route to it (see "ip route get 10.0.0.2"), or correct the address in -x.\n${pointer("80-10.0.0.2:8080")}`,
    ),
  );
});

test("a host that leaves no source port", () => {
  const script = 'ip link set lo up; echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range; exec "$@"';
  expect(xcopy(["copy", "-x", TRANSFER], { within: ["unshare", "-n", "sh", "-c", script, "sh"] })).toEqual(
    mistake(
      3,
      "Cannot find source ports: this host uses all from 1024 for its own connections (1024-65535)",
      `Name some with --ports, and reserve them with the sysctl net.ipv4.ip_local_reserved_ports.\n${pointer(TRANSFER)}`,
    ),
  );
});

describe("--dry-run", () => {
  const PORTS = 'ip link set lo up; echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range; exec "$@"';
  const within = ["unshare", "-n", "sh", "-c", PORTS, "sh"];

  test("says what would be done, without privileges", () => {
    const words = ["copy", "--dry-run", "-x", `${TRANSFER},[::1]:443-[::1]:8443`, "--capture", "tcx"];
    expect(xcopy(words, { within: [...within, ...POWERLESS] })).toEqual({
      code: 0,
      stderr: "",
      stdout: `Nothing is touched. Without --dry-run this would happen:

transfer  80-127.0.0.1:8080
capture   requests to port 80 of every address of this host; they pass unchanged
send      to 127.0.0.1:8080 from 127.0.0.1
          ports 1024-32767, 61000-65535
          over lo, routed by the kernel, packets of at most 65535 bytes
drop      on lo: responses of 127.0.0.1:8080 to connections that xcopy opened; nothing else

transfer  [::1]:443-[::1]:8443
capture   requests to port 443 of ::1; they pass unchanged
send      to [::1]:8443 from ::1
          ports 1024-32767, 61000-65535
          over lo, routed by the kernel, packets of at most 65535 bytes
drop      on lo: responses of [::1]:8443 to connections that xcopy opened; nothing else

attach    at ingress by tcx
          request program   lo
          response program  lo
mark      0xc0 on every packet sent; such packets are not captured
memory    about ${CAPTURED} for captured packets that wait to be read
          up to ${megabytes(waitingBytes(null))} for requests that wait to be sent
`,
    });
  });

  test("shows how requests are captured, and the filter that the kernel runs", () => {
    const by = (words: string) =>
      xcopy(["copy", "--dry-run", "-x", TRANSFER, ...words.split(" ")], { within }).stdout;
    expect(by("-F ip6")).toContain(`
attach    at ingress by tcx, or clsact where the kernel has no tcx
          request program   lo
          response program  lo
filter    ip6; the kernel runs
          (000) ldh      [12]
          (001) jeq      #0x86dd          jt 2\tjf 3
          (002) ret      #262144
          (003) ret      #0
`);
    expect(by("--capture xdp")).toContain(`
attach    at ingress by XDP, in the driver where it can, and by tcx where there is no Ethernet
          request program   lo
attach    at ingress by tcx, or clsact where the kernel has no tcx
          response program  lo
`);
    expect(by("--capture packet")).toContain(`
attach    at ingress by tcx, or clsact where the kernel has no tcx
          response program  lo
listen    with a packet socket on lo
`);
    expect(by("--direction out")).toContain("capture   outgoing requests to port 80 of every address; they");
  });

  test("shows a pool, an MTU, ports and warnings", () => {
    const words = ["copy", "--dry-run", "-x", "10.5.5.5:80-127.0.0.1:8080", "-c", "127.0.1.x"];
    const { code, stdout, stderr } = xcopy([...words, "-M", "1400", "--ports", "30000-40000"], { within });
    expect(code).toBe(0);
    expect(stdout).toContain(
      "send      to 127.0.0.1:8080 from 254 addresses, 127.0.1.1 to 127.0.1.254\n" +
        "          ports 30000-40000\n" +
        "          over lo, routed by the kernel, packets of at most 1400 bytes\n",
    );
    expect(stderr).toBe(
      'warning: 10.5.5.5 in -x "10.5.5.5:80-127.0.0.1:8080" is not an address of this host.\n' +
        "warning: This host may use ports of 30000-40000 for its own connections to a target: reserve them (sysctl net.ipv4.ip_local_reserved_ports=30000-40000).\n",
    );
  });

  test("shows every target of a service, and options for shares, copies and pace", () => {
    const transfers = "80-127.0.0.1:8080|[::1]:8081*2,80-127.0.0.1:90";
    const words = `--dry-run -f 1/4 -r 12.5 -g 60 -O -n 3 --jitter 20 --limit 500/s --pace fast -R 30 --proxy-protocol v2`;
    expect(xcopy(["copy", "-x", transfers, ...words.split(" ")], { within })).toEqual({
      code: 0,
      stderr: "",
      stdout: `Nothing is touched. Without --dry-run this would happen:

transfer  80-127.0.0.1:8080|[::1]:8081*2
capture   requests to port 80 of every address of this host; they pass unchanged
send      to 127.0.0.1:8080 from 127.0.0.1, 1 of 3 connections
          ports 10094-19163
          over lo, routed by the kernel, packets of at most 65535 bytes
drop      on lo: responses of 127.0.0.1:8080 to connections that xcopy opened; nothing else
send      to [::1]:8081 from ::1, 2 of 3 connections
          ports 10094-19163
          over lo, routed by the kernel, packets of at most 65535 bytes
drop      on lo: responses of [::1]:8081 to connections that xcopy opened; nothing else

transfer  80-127.0.0.1:90
capture   requests to port 80 of every address of this host; they pass unchanged
send      to 127.0.0.1:90 from 127.0.0.1
          ports 10094-19163
          over lo, routed by the kernel, packets of at most 65535 bytes
drop      on lo: responses of 127.0.0.1:90 to connections that xcopy opened; nothing else

attach    at ingress by tcx, or clsact where the kernel has no tcx
          request program   lo
          response program  lo
sample    12.5 % of the connections
ramp      from no connection to all of these within 60 s
sessions  only connections that are opened from now on
copies    each connection 3 times
jitter    copies after the first begin up to 20 ms later, each after its own random time
limit     at most 500 requests a second; the others are counted, but not sent
pace      the next request goes as soon as one is answered
quiet     responses shorter than production's are complete after 30 ms of silence
header    PROXY protocol v2 opens each connection
mark      0xc0 on every packet sent; such packets are not captured
memory    about ${CAPTURED} for captured packets that wait to be read
          up to ${megabytes(waitingBytes(null))} for requests that wait to be sent
`,
    });
  });

  test("says that requests do not wait for responses", () => {
    const { stdout } = xcopy(["copy", "--dry-run", "-x", TRANSFER, "-W"], { within });
    expect(stdout).toContain("\npace      requests go when the client sent them, answered or not\nmark ");
  });

  test("writes nothing", () => {
    const script = 'ip link set lo up; mount -t tmpfs none /run; "$@" >/dev/null; echo $?; ls -A /run';
    const { stdout } = xcopy(["copy", "--dry-run", "-x", TRANSFER, "-l", "/run/log"], {
      within: ["unshare", "-n", "-m", "sh", "-c", script, "sh"],
    });
    expect(stdout).toBe("0\n");
  });
});

test("cleanup with nothing to clean", () => {
  expect(xcopy(["cleanup"], { within: ALONE })).toEqual({
    code: 0,
    stdout: "nothing to remove\n",
    stderr: "",
  });
  expect(xcopy(["cleanup", "all"]).code).toBe(2);
});
