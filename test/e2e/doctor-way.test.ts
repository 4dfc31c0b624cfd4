/** Faults between production, this host and the target, each planted, and what doctor says of them: this and nothing else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { GroupedFinding } from "../../src/doctor/list/run.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { run } from "../support/process.ts";

const HERE = join(import.meta.dir, "../doctor");

interface Fault {
  name: string;
  args: string;
  /** By id of the findings that are not ok: what they say and how it is mended. */
  expected: Record<string, [found: RegExp, fix: RegExp]>;
}

const FAULTS: Fault[] = [
  { name: "none", args: "-x 80-10.0.0.2:8080", expected: {} },
  {
    name: "wrong port",
    args: "-x 81-10.0.0.2:8080",
    expected: {
      "arrival.packets": [
        /nobody listens there; connections come to ports? .*80 \(/,
        /^-x 80-10.0.0.2:8080|-x \d+-10/,
      ],
    },
  },
  {
    name: "wrong interface",
    args: "-x 80-10.0.0.2:8080 -i back",
    expected: { "arrival.interface": [/come in by front, which -i back does not name/, /^-i front, or/] },
  },
  {
    name: "TLS at production",
    args: "-x 443-10.0.0.2:8080",
    expected: {
      "arrival.protocol": [/^TLS \(.*no target can read it/, /Copy behind the place where TLS ends/],
    },
  },
  {
    name: "PROXY protocol in front",
    args: "-x 87-10.0.0.2:8080",
    expected: { "arrival.proxy": [/PROXY protocol header, version 1/, /--proxy-protocol none/] },
  },
  {
    name: "another port is redirected",
    args: "-x 8089-10.0.0.2:8080",
    expected: {
      "arrival.nat": [
        /clients use port 88, .*rule "tcp dport 88 redirect to :8089"/,
        /^-x 88-10.0.0.2:8080$/,
      ],
    },
  },
  {
    name: "only IPv6",
    args: "-x 10.1.0.1:85-10.0.0.2:8080",
    expected: {
      "arrival.family": [/IPv6 requests are not copied/, /^-x \[fd00:1::1\]:85-10.0.0.2:8080 besides/],
    },
  },
  {
    name: "only forwarded",
    args: "-x 86-10.0.0.2:8080",
    expected: {
      "arrival.forwarded": [
        /they are to 10\.0\.0\.2, no address of this host/,
        /^-x 10\.0\.0\.2:86-10\.0\.0\.2:8080$/,
      ],
    },
  },
];

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
});
afterAll(async () => {
  await lab.stopAll();
  lab.remove();
});

test("each planted fault is named with its cause and its fix, and no other", async () => {
  const bun = process.execPath;
  const services = [
    lab.start(lab.online, [bun, join(HERE, "serve.ts"), "80", "443", "85", "87", "8089"]),
    lab.start(lab.target, [bun, join(HERE, "serve.ts"), "8080", "86"]),
  ];
  for (const service of services) await service.line(/^listening/);
  run(
    lab.online,
    "nft",
    "table ip faults {\n chain redirected {\n type nat hook prerouting priority dstnat\n tcp dport 88 redirect to :8089\n }\n}",
  );
  const talks = [
    "http=10.1.0.1 80",
    "tls=10.1.0.1 443",
    "proxy=10.1.0.1 87",
    "http=10.1.0.1 88",
    "http=fd00:1::1 85",
    "http=10.0.0.2 86",
  ];
  const clients = lab.start(lab.client, [
    bun,
    join(HERE, "talk.ts"),
    ...talks.flatMap((talk) => talk.split(" ")),
  ]);
  await clients.line(/^talking/);

  const words = FAULTS.flatMap(({ name, args }) => [name, args]);
  const doctors = lab.start(lab.online, [bun, join(HERE, "doctors.ts"), ...words]);
  expect(await doctors.exited).toBe(0);
  const said = doctors.output.map((line) => JSON.parse(line) as { name: string; findings: GroupedFinding[] });
  const wrong = (name: string) =>
    said.find((one) => one.name === name)!.findings.filter(({ status }) => status !== "ok");

  expect(Object.fromEntries(FAULTS.map(({ name }) => [name, wrong(name).map(({ id }) => id)]))).toEqual(
    Object.fromEntries(FAULTS.map(({ name, expected }) => [name, Object.keys(expected)])),
  );
  for (const { name, expected } of FAULTS) {
    for (const { id, found, fix } of wrong(name)) {
      expect(found).toMatch(expected[id]![0]);
      expect(fix).toMatch(expected[id]![1]);
    }
  }
});
