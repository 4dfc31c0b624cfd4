/** The text of the rules, and what nft and iptables make of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/config/address.ts";
import {
  chainOf,
  HOOKS,
  hookedServices,
  iptablesRuleset,
  nftRuleset,
  type QueuedService,
  type RuleOptions,
} from "../../src/netfilter/ruleset.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { run } from "../support/process.ts";

const at = (text: string) => parseAddress(text)!;
const service = (text: string | null, first: number, last = first): QueuedService => ({
  address: text === null ? null : at(text),
  ports: [first, last],
});
const LOCAL = ["10.0.0.2", "fd00::2"].map((text) => at(text).bytes.toString());
const isLocal = ({ bytes }: { bytes: Uint8Array }) => LOCAL.includes(bytes.toString());

const OPTIONS: RuleOptions = {
  queue: 65535,
  services: [
    service(null, 80),
    service("10.0.0.2", 8000, 8010),
    service("fd00::2", 8080),
    service("172.17.0.2", 81),
  ],
  pass: [at("10.1.0.9"), at("fd00:1::9")],
};
const HOOKED = hookedServices(OPTIONS.services, isLocal);

test("responses of services on this host pass output, those of other hosts forward", () => {
  expect(HOOKED.output).toEqual(OPTIONS.services.slice(0, 3));
  expect(HOOKED.forward).toEqual(OPTIONS.services.slice(3));
});

test("the ruleset of nft", () => {
  expect(nftRuleset("xcopy-1-65535", OPTIONS, HOOKED)).toBe(`table inet xcopy-1-65535
delete table inet xcopy-1-65535
table inet xcopy-1-65535 {
  chain output {
    type filter hook output priority -149; policy accept;
    ip daddr 10.1.0.9 return comment "xcopy"
    ip6 daddr fd00:1::9 return comment "xcopy"
    tcp sport 80 queue num 65535 bypass comment "xcopy"
    udp sport 80 queue num 65535 bypass comment "xcopy"
    ip saddr 10.0.0.2 tcp sport 8000-8010 queue num 65535 bypass comment "xcopy"
    ip saddr 10.0.0.2 udp sport 8000-8010 queue num 65535 bypass comment "xcopy"
    ip6 saddr fd00::2 tcp sport 8080 queue num 65535 bypass comment "xcopy"
    ip6 saddr fd00::2 udp sport 8080 queue num 65535 bypass comment "xcopy"
    icmp type destination-unreachable queue num 65535 bypass comment "xcopy"
    icmpv6 type destination-unreachable queue num 65535 bypass comment "xcopy"
  }
  chain forward {
    type filter hook forward priority -149; policy accept;
    ip daddr 10.1.0.9 return comment "xcopy"
    ip6 daddr fd00:1::9 return comment "xcopy"
    ip saddr 172.17.0.2 tcp sport 81 queue num 65535 bypass comment "xcopy"
    ip saddr 172.17.0.2 udp sport 81 queue num 65535 bypass comment "xcopy"
    icmp type destination-unreachable queue num 65535 bypass comment "xcopy"
    icmpv6 type destination-unreachable queue num 65535 bypass comment "xcopy"
  }
}
`);
});

test("the rulesets of iptables and ip6tables", () => {
  const c = "-m comment --comment xcopy";
  expect(iptablesRuleset("x", OPTIONS, HOOKED, 4)).toBe(`*mangle
:x-output - [0:0]
-A x-output -d 10.1.0.9 ${c} -j RETURN
-A x-output -p tcp --sport 80:80 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -p udp --sport 80:80 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -s 10.0.0.2 -p tcp --sport 8000:8010 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -s 10.0.0.2 -p udp --sport 8000:8010 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -p icmp --icmp-type destination-unreachable ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A OUTPUT ${c} -j x-output
:x-forward - [0:0]
-A x-forward -d 10.1.0.9 ${c} -j RETURN
-A x-forward -s 172.17.0.2 -p tcp --sport 81:81 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-forward -s 172.17.0.2 -p udp --sport 81:81 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-forward -p icmp --icmp-type destination-unreachable ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A FORWARD ${c} -j x-forward
COMMIT
`);
  expect(iptablesRuleset("x", OPTIONS, HOOKED, 6)).toBe(`*mangle
:x-output - [0:0]
-A x-output -d fd00:1::9 ${c} -j RETURN
-A x-output -p tcp --sport 80:80 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -p udp --sport 80:80 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -s fd00::2 -p tcp --sport 8080:8080 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -s fd00::2 -p udp --sport 8080:8080 ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A x-output -p icmpv6 --icmpv6-type destination-unreachable ${c} -j NFQUEUE --queue-num 65535 --queue-bypass
-A OUTPUT ${c} -j x-output
COMMIT
`);
});

test("a family without services has no rules", () => {
  const services = hookedServices([service("10.0.0.2", 80)], isLocal);
  expect(iptablesRuleset("x", OPTIONS, services, 6)).toBeNull();
});

test("the longest name fits iptables", () => {
  for (const hook of HOOKS) expect(chainOf("xcopy-4194304-65535", hook).length).toBeLessThanOrEqual(28);
});

describe("the tools accept the rulesets", () => {
  let lab: Lab;
  beforeAll(() => {
    lab = createLab({ manyClients: false });
  });
  afterAll(() => lab?.remove());

  function feed(command: string[], input: string): { code: number; errors: string } {
    const words = ["ip", "netns", "exec", lab.target, ...command];
    const done = Bun.spawnSync(words, { stdin: Buffer.from(input) });
    return { code: done.exitCode, errors: done.stderr.toString() };
  }

  test("nft; its only error may be that the kernel cannot queue for nft", () => {
    const ruleset = nftRuleset("xcopy-1-65535", OPTIONS, HOOKED);
    const complaints = feed(["nft", "-f", "-"], ruleset).errors.match(/Error: .*/g) ?? [];
    for (const complaint of complaints)
      expect(complaint).toBe("Error: Could not process rule: No such file or directory");
    // All but the queueing, for certain.
    expect(feed(["nft", "-f", "-"], ruleset.replaceAll(/queue num \d+ bypass/g, "accept"))).toEqual({
      code: 0,
      errors: "",
    });
    run(lab.target, "nft", "delete", "table", "inet", "xcopy-1-65535");
  });

  test.each(["iptables", "iptables-legacy"])("%s", (tool) => {
    const ruleset = iptablesRuleset("xcopy-4194304-65535", OPTIONS, HOOKED, 4)!;
    expect(feed([`${tool}-restore`, "--noflush"], ruleset)).toEqual({ code: 0, errors: "" });
    expect(run(lab.target, tool, "-t", "mangle", "-S", "xcopy-4194304-65535-output")).toContain(
      "--sport 8000:8010 -m comment --comment xcopy -j NFQUEUE --queue-num 65535 --queue-bypass",
    );
  });
});
