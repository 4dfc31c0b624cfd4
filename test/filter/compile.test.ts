/** Expressions: what is refused and how, and the text of what is not. */
import { describe, expect, test } from "bun:test";
import { compileFilter, type LinkLayer, linkLayerOf, renderFilter } from "../../src/filter/compile.ts";
import { Failure } from "../../src/native/failure.ts";
import { command } from "../bpf/namespace.ts";

function failure(text: string, linkLayer: LinkLayer = "ethernet"): Failure {
  try {
    compileFilter(text, linkLayer);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error(`"${text}" was compiled`);
}

describe("what libpcap refuses is an error with libpcap's message", () => {
  for (const [text, words] of [
    ["tcp and src port", "syntax error"],
    ["tcp and src prt 8080", "prt"],
    ["port 99999", "99999"],
    ["tcp and udp", "expression rejects all packets"],
    ["net 300.1.2.3", "300.1.2.3"],
    ["ip[0] / 0 = 1", "division by zero"],
  ] as const) {
    test(text, () => {
      const { message, fix, exitCode } = failure(text);
      expect(message).toStartWith(`Cannot compile -F "${text}": `);
      expect(message).toContain(words);
      expect(fix).toContain("man 7 pcap-filter");
      expect(exitCode).toBe(2);
    });
  }

  test("only without link layer", () => {
    expect(failure("vlan 5", "raw").message).toStartWith(
      'Cannot compile -F "vlan 5" for an interface without link layer: ',
    );
  });
});

describe("what the kernel would refuse is an error", () => {
  for (const [text, words] of [
    ["ip protochain 6", "a loop"],
    ["tcp and inbound", "not in the packet"],
    ["host 10.0.0.1 or geneve or ether src 2:0:0:0:0:1", "memory"],
  ] as const) {
    test(text, () => {
      const { message, exitCode } = failure(text);
      expect(message).toStartWith(`Cannot run the filter "${text}" in the kernel: `);
      expect(message).toContain(words);
      expect(exitCode).toBe(2);
    });
  }
});

test("the keyword vlan, and no word that contains it, makes a filter want the tag", () => {
  const wantsTag = (text: string) => compileFilter(text, "ethernet").wantsTag;
  expect(["vlan", "(vlan 5)and tcp", "not vlan and ip"].map(wantsTag)).toEqual([true, true, true]);
  expect(["tcp", "ether[12:2] = 0x8100", ""].map(wantsTag)).toEqual([false, false, false]);
});

test("link layers by ARPHRD type", () => {
  // Ethernet, loopback; tun and WireGuard, IPIP; InfiniBand, 802.11 monitor.
  expect([1, 772].map(linkLayerOf)).toEqual(["ethernet", "ethernet"]);
  expect([65534, 768].map(linkLayerOf)).toEqual(["raw", "raw"]);
  expect([32, 803].map(linkLayerOf)).toEqual([null, null]);
});

describe("the text is that of tcpdump -d", () => {
  for (const [linkLayer, name] of [
    ["ethernet", "EN10MB"],
    ["raw", "RAW"],
  ] as const) {
    for (const text of ["tcp and src port 8080", "net 10.0.0.0/8 and not udp", "ip6 or len > 100", ""]) {
      test(`${linkLayer}: ${text || "(empty)"}`, () => {
        expect(`${renderFilter(compileFilter(text, linkLayer))}\n`).toBe(
          command("tcpdump", "-y", name, "-d", text),
        );
      });
    }
  }
});

test("a host without libpcap", () => {
  const script = `import { compileFilter } from "${import.meta.dir}/../../src/filter/compile.ts";
    try { compileFilter("tcp", "ethernet"); }
    catch (error) { console.log(JSON.stringify([error.message, error.fix, error.exitCode])); }`;
  // In a mount namespace of its own, with something in its place that is no library.
  const hide = `for file in $(ldconfig -p | sed -n 's/.*libpcap.* => //p'); do mount --bind /dev/null "$file"; done; exec "$@"`;
  const shown = command("unshare", "--mount", "sh", "-ec", hide, "sh", process.execPath, "-e", script);
  const [message, fix, exitCode] = JSON.parse(shown);
  expect(message).toStartWith('Cannot load "libpcap.so.0.8": ');
  expect(fix).toBe("Install libpcap (Debian: apt-get install libpcap0.8).");
  expect(exitCode).toBe(5);
});
