/** Entries of /proc/net/nf_conntrack: which is about a connection, and where that really goes. */
import { expect, test } from "bun:test";
import { parseAddress } from "../../src/config/address.ts";
import { clientPort, readEntry } from "../../src/netfilter/translation.ts";

const DNAT =
  "ipv4     2 tcp      6 431999 ESTABLISHED src=10.71.2.1 dst=10.96.0.10 sport=40001 dport=8080 src=10.71.2.2 dst=10.71.2.1 sport=8081 dport=40001 [ASSURED] mark=0 zone=0 use=2";
const PLAIN =
  "ipv4     2 tcp      6 119 SYN_SENT src=10.71.2.1 dst=10.71.2.2 sport=40002 dport=80 [UNREPLIED] src=10.71.2.2 dst=10.71.2.1 sport=80 dport=40002 mark=0 use=1";
const SIX =
  "ipv6     10 tcp      6 59 TIME_WAIT src=fd71:0002:0000:0000:0000:0000:0000:0001 dst=fd71:0002:0000:0000:0000:0000:0000:0099 sport=40003 dport=80 src=fd71:0002:0000:0000:0000:0000:0000:0002 dst=fd71:0002:0000:0000:0000:0000:0000:0001 sport=8080 dport=40003 [ASSURED] mark=0 use=1";
const UDP =
  "ipv4     2 udp      17 29 src=10.71.2.1 dst=10.96.0.10 sport=40001 dport=8080 src=10.71.2.2 dst=10.71.2.1 sport=8081 dport=40001 mark=0 use=2";

const at = (text: string, port: number) => ({ address: parseAddress(text)!.bytes, port });
const [CLIENT, SERVER] = [at("10.71.2.1", 40001), at("10.96.0.10", 8080)];

test.each([
  ["translated", DNAT, CLIENT, SERVER, { address: "10.71.2.2", port: 8081 }],
  ["as it is", PLAIN, at("10.71.2.1", 40002), at("10.71.2.2", 80), { address: "10.71.2.2", port: 80 }],
  [
    "IPv6",
    SIX,
    at("fd71:2::1", 40003),
    at("fd71:2::99", 80),
    { address: "fd71:0002:0000:0000:0000:0000:0000:0002", port: 8080 },
  ],
  ["of another source port", DNAT, at("10.71.2.1", 40002), SERVER, null],
  ["of another port", DNAT, CLIENT, at("10.96.0.10", 8081), null],
  ["of another host with the same ports", DNAT, at("10.71.2.3", 40001), SERVER, null],
  ["to another host with the same ports", DNAT, CLIENT, at("10.71.2.2", 8080), null],
  ["of IPv6 to another host with the same ports", SIX, at("fd71:2::1", 40003), at("fd71:2::2", 80), null],
  ["of UDP", UDP, CLIENT, SERVER, null],
  ["no entry", "", CLIENT, SERVER, null],
])("%s", (_, line, client, server, to) => {
  expect(readEntry(line, client, server)).toEqual(to);
});

test.each([
  ["translated", DNAT, 8081, 8080],
  ["of the port itself", PLAIN, 80, null],
  ["to another port", DNAT, 8080, null],
  ["of IPv6", SIX, 8080, 80],
  ["of UDP", UDP, 8081, null],
])("the port that clients use, of an entry %s", (_, line, port, client) => {
  expect(clientPort(line, port)).toBe(client);
});

test("a user who may not read the list knows of no translation", () => {
  const script = `
    import { translatedPorts, translationOf } from "${import.meta.dir}/../../src/netfilter/translation.ts";
    console.log(JSON.stringify([await translatedPorts(80), await translationOf({ address: new Uint8Array(4), port: 80 }, { address: new Uint8Array(4), port: 40001 })]));`;
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const { stdout, stderr } = Bun.spawnSync([...nobody, process.execPath, "-e", script], { cwd: "/" });
  expect([stdout.toString(), stderr.toString()]).toEqual(["[[],null]\n", ""]);
});
