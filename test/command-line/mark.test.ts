/** The default mark is one that no known user of marks takes for its own. */
import { expect, test } from "bun:test";
import { MARK } from "../../src/command-line/copy.ts";

const mark = Number(MARK);

/** Bits that others test, each by itself or all together, under their mask: in our mark none of them is set. */
const BITS: [user: string, mask: number][] = [
  ["kube-proxy: masquerade and drop (--iptables-masquerade-bit 14)", 0xc000],
  ["Calico: IptablesMarkMask, EndpointMark", 0xffff0000],
  ["Cilium: MARK_MAGIC_HOST_MASK with MARK_MAGIC_WG_ENCRYPTED", 0x1f00],
  ["Tailscale: subnet routes, bypass", 0xff0000],
  ["mwan3", 0x3f00],
  ["OpenWrt pbr", 0xff0000],
  ["Weave Net and its policies", 0x70000],
  ["kube-router", 0x30000],
  ["Antrea: from this host (bit 31)", 0x80000000],
  ["OpenStack Neutron: address scopes, DVR", 0xffff0000],
  ["NetBird", 0x1ff00],
  ["transparent proxies: 0x1/0x1, 0x2/0x2, 0x10/0x10", 0x13],
];

/** Values that others compare the mark with, some of its bits only. */
const VALUES: [user: string, value: number, mask?: number][] = [
  ["Istio sidecar", 1337],
  ["Istio ambient", 0x539, 0xfff],
  ["Istio ambient", 0x111, 0xfff],
  ["wg-quick", 51820],
  ["Mullvad", 0x6d6f6c65],
  ["NordVPN", 0xe1f1],
  ["OVN-Kubernetes: egress IP", 1008],
  ["OVN-Kubernetes: path MTU discovery", 0x1745ec],
  ["OpenStack Neutron: metadata, ingress", 1, 0xffff],
  ["OpenStack Neutron: metadata, ingress", 2, 0xffff],
  ["v2ray, Xray", 255],
  ["sing-box", 0x2023],
  ["sing-box", 0x2024],
  ["Clash", 6666],
  // Services of a swarm get numbers from 256 on, firewalld's zones and policies from 100, routing by mark small ones.
  ...Array.from({ length: 64 }, (_, i): [string, number] => ["Docker swarm", 256 + i]),
  ...Array.from({ length: 64 }, (_, i): [string, number] => ["firewalld", 100 + i]),
  ...Array.from({ length: 100 }, (_, i): [string, number] => ["policy routing, keepalived", i]),
];

test.each(BITS)("no bit of %s", (_, mask) => {
  expect((mark & mask) >>> 0).toBe(0);
});

test("no value of anybody", () => {
  const equal = VALUES.filter(([, value, mask = 0xffffffff]) => (mark & mask) >>> 0 === value);
  expect(equal).toEqual([]);
  expect(mark).toBeGreaterThan(0);
});
