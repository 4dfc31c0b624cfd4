/** `xcopy record` up to the point where it would start, as a user sees it. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ALONE, mistake, POWERLESS, xcopy } from "./run.ts";

describe("usage", () => {
  test.each([
    [
      [],
      "Cannot record anything: no -x names a service",
      'Write it as [address:]port, for example "80", "10.0.0.1:80" or "[2001:db8::1]:80".',
    ],
    [
      ["-x", "80"],
      "Cannot record anything: no -w names a file",
      'Name a file, for example "-w cap.pcapng", or write to standard output with "-w -".',
    ],
    [
      ["-x", "80", "-w", "cap-%Q"],
      'Cannot use -w "cap-%Q": there is no conversion "%Q"',
      "Use %Y %m %d %H %M %S %y %j %s %F %T %%, where %% stands for a %.",
    ],
    [
      ["-x", "80", "-w", "cap", "-i", "eth77"],
      'Cannot use -i "eth77": no such network interface',
      "There are: lo.",
    ],
    [
      ["-x", "80", "-w", "cap", "--rotate-size", "1Q"],
      'Cannot use --rotate-size "1Q": not a size of at least 10000 bytes',
      'Give bytes, or units of 10^3, 10^6 or 10^9 bytes with k, M or G: "100M".',
    ],
    [
      ["-x", "nobody.invalid:80", "-w", "cap"],
      'Cannot use -x "nobody.invalid:80": the name "nobody.invalid" does not resolve',
      'Check the name, or write its address: "getent ahosts nobody.invalid" must print one.',
    ],
  ])("%j", (words, message, fix) => {
    expect(xcopy(["record", ...words], { within: ALONE })).toEqual(mistake(2, message, fix));
  });
});

test("without privileges it says which it lacks, and makes no file", () => {
  const directory = mkdtempSync(join(tmpdir(), "xcopy-cli-"));
  try {
    const path = join(directory, "cap");
    const { code, stderr } = xcopy(["record", "-x", "80", "-w", path], { within: POWERLESS });
    expect(code).toBe(4);
    expect(stderr).toStartWith(
      "Cannot capture packets: this process lacks CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN\n",
    );
    expect(existsSync(path)).toBe(false);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("--dry-run says what would be done, without privileges", () => {
  const words = [
    "-x",
    "80,10.9.9.9:443-10.0.0.2",
    "--both",
    "-r",
    "10",
    "--snaplen",
    "200",
    "-w",
    "cap.pcapng",
  ];
  const rotation = [
    "--rotate-size",
    "1M",
    "--rotate-time",
    "5m",
    "--keep",
    "3",
    "--compress",
    "zstd",
    "-c",
    "100",
  ];
  const { code, stdout, stderr } = xcopy(["record", ...words, ...rotation, "--dry-run"], {
    within: [...ALONE, ...POWERLESS],
  });
  expect(code).toBe(0);
  expect(stderr).toBe('warning: 10.9.9.9 in -x "10.9.9.9:443-10.0.0.2" is not an address of this host.\n');
  expect(stdout).toBe(`Nothing is touched. Without --dry-run this would happen:

capture   requests to port 80, 10.9.9.9:443 and the responses; they pass unchanged
          10 % of the connections, all of each
          pure ACKs are left out, except those that end a handshake (packets without data, SYN, FIN or RST)
          packets are cut to 200 bytes
filter    tcp dst port 80 or tcp src port 80 or (dst host 10.9.9.9 and tcp dst port 443) or (src host 10.9.9.9 and tcp src port 443)
write     cap-0001.pcapng.zst, pcapng compressed by zstd
rotate    a new file begins before the current one has more than 1000000 bytes or after 300 s; the last 3 are kept
end       after 100 packets
attach    at ingress (requests) and egress (responses) by tcx, or clsact where the kernel has no tcx
          lo
mark      packets with the mark 0xc0 are not recorded
`);
});
