/** Faults between production, this host and the target, each planted, and what doctor says of them: this and nothing else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { GroupedFinding } from "../../src/doctor/list/run.ts";
import { createFar } from "../support/far.ts";
import { startIntercept } from "../support/intercept.ts";
import { KEY } from "../support/key.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { patient } from "../support/patience.ts";
import { run } from "../support/process.ts";
import { createSecondTarget } from "../support/second.ts";

const HERE = join(import.meta.dir, "../doctor");

interface Fault {
  name: string;
  args: string;
  /** All findings that are not ok: what they are, what they say, and how it is mended. */
  expected: [id: string, found: RegExp, fix: RegExp][];
}

/** Each service that is named here has a fault of its own. */
const SERVICES = [
  ...["81", "443", "87", "8089", "10.1.0.1:85", "86", "8086"].map((from) => `-x ${from}-10.0.0.2:8080`),
  "-x 8080-10.0.0.2:90",
];

const FAULTS: Fault[] = [
  { name: "none", args: "-x 80-10.0.0.2:8080", expected: [] },
  {
    name: "wrong port, TLS, PROXY protocol, NAT, only IPv6, only forwarded, in a container, leaving",
    args: SERVICES.join(" "),
    expected: [
      [
        "arrival.packets",
        /nobody listens there; connections come to ports? .*80 \(/,
        /^-x \d+-10\.0\.0\.2:8080$/,
      ],
      ["arrival.protocol", /^TLS \(.*no target can read it/, /^Copy behind the place where TLS ends/],
      ["arrival.proxy", /PROXY protocol header, version 1/, /--proxy-protocol none/],
      [
        "arrival.nat",
        /clients use port 88, .*rule "tcp dport 88 redirect to :8089"/,
        /^-x 88-10\.0\.0\.2:8080$/,
      ],
      ["arrival.family", /IPv6 requests are not copied/, /^-x \[fd00:1::1\]:85-10\.0\.0\.2:8080 besides/],
      [
        "arrival.forwarded",
        /are to 10\.0\.0\.2, no address of this host/,
        /^-x 10\.0\.0\.2:86-10\.0\.0\.2:8080$/,
      ],
      [
        "arrival.packets",
        /nobody listens there in this network namespace, but \S+ \(pid \d+\) does/,
        /^nsenter -t \d+ -n xcopy copy/,
      ],
      ["arrival.direction", /they leave this host, whose processes are the clients/, /^--direction out$/],
    ],
  },
  {
    name: "wrong interface",
    args: "-x 80-10.0.0.2:8080 -i back",
    expected: [
      ["arrival.interface", /come in by .*front.*, which -i back does not name/, /^-i .*front.*, or leave/],
    ],
  },
  {
    name: "a filter that leaves all out",
    args: "-x 80-10.0.0.2:8080 -F not_net_10.0.0.0/8",
    expected: [
      [
        "arrival.filter",
        /^-F "not net 10\.0\.0\.0\/8" leaves all of them out: /,
        /^Leave -F out, or correct it/,
      ],
    ],
  },
  {
    name: "no route",
    args: "-x 80-10.77.0.1:8080",
    expected: [["host.plan", /no route/, /^Add a route to it/]],
  },
  {
    name: "the target is production",
    args: "-x 80-10.1.0.1:80",
    expected: [["host.plan", /is the service that is copied/, /^Name another host or port/]],
  },
  {
    name: "the target passes requests on to production",
    args: "-x 89-10.7.0.2:8084",
    expected: [["way.loop", /opened \d+ connections to port 89 meanwhile/, /-F 'not src host 10\.7\.0\.2'/]],
  },
  {
    name: "nobody has the address of the target",
    args: "-x 80-10.0.0.99:8080",
    expected: [
      ["way.neighbour", /^10\.0\.0\.99 on back does not answer ARP$/, /^Check that the target is up/],
    ],
  },
  {
    name: "nothing listens at the target",
    args: "-x 80-10.0.0.2:8081",
    expected: [["way.port", /^connection refused$/, /^Start the service there/]],
  },
  {
    name: "a firewall at the target",
    args: "-x 80-10.0.0.2:8082",
    expected: [["way.port", /^no response to a connection attempt/, /check the firewalls on the way/]],
  },
  {
    name: "nobody has the address of one target, and nothing listens at another",
    args: "-x 80-10.0.0.99:8080,80-10.0.0.2:8081",
    expected: [
      ["way.neighbour", /^10\.0\.0\.99 on back does not answer ARP$/, /^Check that the target is up/],
      ["way.port", /^connection refused$/, /^Start the service there/],
    ],
  },
  {
    name: "a firewall at the target that says so",
    args: "-x 80-10.0.0.2:8094",
    expected: [
      [
        "way.port",
        /an ordinary connection from this host is refused: a firewall rejects it with an ICMP error/,
        /^Let port 8094 through in the firewall/,
      ],
    ],
  },
  {
    name: "the target closes each connection at once",
    args: "-x 80-10.0.0.2:8093",
    expected: [["way.port", /^open, but it closes each connection at once/, /^See its log there/]],
  },
  {
    name: "a service that listens at this host's loopback only",
    args: "-x 91-10.0.0.2:8080",
    expected: [
      [
        "arrival.packets",
        /^clients ask 10\.1\.0\.1, and the service listens at 127\.0\.0\.1 only: /,
        /^Let the service listen at that address too/,
      ],
    ],
  },
  {
    name: "a firewall at the target that says so of UDP",
    args: "-x udp:80-10.7.0.2:8095",
    expected: [
      ["arrival.packets", /nobody listens there/, /./],
      ["way.port", /^a firewall rejects datagrams/, /^Let the port through in the firewall there/],
    ],
  },
  {
    name: "a narrow way that drops large packets",
    args: "-x 80-10.2.0.2:8080",
    expected: [
      ["way.mtu", /^packets of 1300 bytes get there, those of 1500 are lost/, /^-M 1300, and let ICMP/],
    ],
  },
  {
    name: "foreign source addresses are dropped on the way",
    args: "-x 10.1.0.1:80-10.2.0.2:8085 -s 10.2.0.2 -M 1300",
    expected: [["way.spoofing", /drops foreign source addresses/, /^Turn source address checks off/]],
  },
  {
    name: "a rule at the target drops copies",
    args: "-x 10.1.0.1:80-10.2.0.2:8088 -s 10.2.0.2 -M 1300",
    expected: [
      [
        "way.rules",
        /netfilter dropped it there by the rule "tcp dport 8088 drop" \(handle \d+\) in chain in of the table inet faults$/,
        /^On the target: nft 'insert rule inet faults in handle \d+ ip daddr 10\.2\.0\.2 tcp dport 8088 accept'/,
      ],
    ],
  },
  {
    name: "responses to a pool do not come back",
    args: "-x 80-10.0.0.2:8080 -c 10.0.0.200",
    expected: [["way.pool", /responses to 10\.0\.0\.200 do not come back/, /^Route the addresses of -c/]],
  },
  {
    name: "a rule drops what leaves",
    args: "-x 80-10.0.0.2:8083 --inject raw",
    expected: [
      [
        "way.output",
        /^what goes to 10\.0\.0\.2:8083 is dropped: rule "tcp dport 8083 drop" \(handle \d+\) in chain out of the table inet faults$/,
        /^nft 'insert rule inet faults out handle \d+ ip daddr 10\.0\.0\.2 tcp dport 8083 accept'$/,
      ],
    ],
  },
  {
    name: "a rule of iptables drops what leaves",
    args: "-x 80-10.0.0.2:8092 --inject raw",
    expected: [
      [
        "way.output",
        /^what goes to 10\.0\.0\.2:8092 is dropped: rule "-p tcp -m tcp --dport 8092 -j DROP" \(number 1\) in chain OUTPUT of iptables -t filter$/,
        /^iptables -t filter -I OUTPUT 1 -d 10\.0\.0\.2 -p tcp --dport 8092 -j ACCEPT$/,
      ],
    ],
  },
  {
    name: "a rule of the interface drops what leaves",
    args: "-x 80-10.0.0.2:8086",
    expected: [
      ["way.output", /"tcp dport 8086 drop" .* table netdev faults$/, /^nft 'insert rule netdev faults/],
    ],
  },
  {
    name: "this host translates the address of the target",
    args: "-x 80-10.0.0.2:8087",
    expected: [["way.translated", /netfilter translates to 10\.0\.0\.2:8080/, /^Name the server itself/]],
  },
  {
    name: "only the target speaks TLS",
    args: "-x 80-10.0.0.2:8443",
    expected: [["way.tls", /the target speaks TLS, and clients here speak HTTP\/1/, /without TLS/]],
  },
];

/** What the rules of this host, of the target, and of the router that it is to a host behind it do. */
const RULES = {
  online: `
table inet faults {
  chain redirected {
    type nat hook prerouting priority dstnat
    tcp dport 88 redirect to :8089
  }
  chain sent {
    type nat hook output priority -100
    ip daddr 10.0.0.2 tcp dport 8087 dnat ip to 10.0.0.2:8080
  }
  chain out {
    type filter hook output priority 0
    tcp dport 8083 drop
  }
}
table netdev faults {
  chain out {
    type filter hook egress device back priority 0
    tcp dport 8086 drop
  }
}`,
  target: `
table inet faults {
  chain in {
    type filter hook input priority 0
    tcp dport 8082 drop
    tcp dport 8094 reject
  }
  chain on {
    type filter hook forward priority 0
    tcp dport 8085 ip saddr 192.0.2.0/24 drop
  }
}`,
  // A host that is asked little: it sends one other host so many ICMP errors only.
  target2: `
table inet faults {
  chain in {
    type filter hook input priority 0
    udp dport 8095 reject with icmpx admin-prohibited
  }
}`,
  far: `
table inet faults {
  chain in {
    type filter hook input priority 0
    tcp dport 8088 drop
  }
}`,
};

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
  const target2 = createSecondTarget(lab);
  const far = createFar(lab, 1300, true).namespace;
  for (const host of ["online", "target"] as const) run(lab[host], "nft", RULES[host]);
  run(lab.online, ..."iptables -A OUTPUT -p tcp --dport 8092 -j DROP".split(" "));
  const serve = (host: string, ...ports: string[]) =>
    lab.start(host, [bun, join(HERE, "serve.ts"), ...ports]);
  const services = [
    serve(lab.online, "80", "443", "85", "87", "89", "8089", "91=local"),
    serve(lab.target, "8080", "8082", "86", "90", "8083", "8086", "8092", "8093=close", "8094", "8443=tls"),
    // To a service of its own: the others are not to see what this one's doctor asks.
    serve(target2, "8084=10.7.0.1:89"),
    serve(far, "8080", "8085", "8088"),
  ];
  run(far, "nft", RULES.far);
  run(target2, "nft", RULES.target2);
  for (const service of services) await service.line(/^listening/);
  await startIntercept(lab, far, ["-o", ":8085", "-o", ":8088"]);
  const talks = [
    "http=10.1.0.1 80",
    "tls=10.1.0.1 443",
    "proxy=10.1.0.1 87",
    "http=10.1.0.1 88",
    "http=10.1.0.1 89",
    "http=10.1.0.1 91",
    "http=fd00:1::1 85",
    "http=10.0.0.2 86",
  ];
  const clients = lab.start(lab.client, [
    bun,
    join(HERE, "talk.ts"),
    ...talks.flatMap((talk) => talk.split(" ")),
  ]);
  await clients.line(/^talking/);
  await lab.start(lab.online, [bun, join(HERE, "talk.ts"), "http=10.2.0.2", "8080"]).line(/^talking/);

  const words = FAULTS.flatMap(({ name, args }) => [name, args]);
  const doctors = lab.start(lab.online, [bun, join(HERE, "doctors.ts"), ...words], { XCOPY_KEY: KEY });
  expect(await doctors.exited).toBe(0);
  const said = doctors.output.map((line) => JSON.parse(line) as { name: string; findings: GroupedFinding[] });
  const wrong = (name: string) =>
    said.find((one) => one.name === name)!.findings.filter(({ status }) => status !== "ok");

  expect(Object.fromEntries(FAULTS.map(({ name }) => [name, wrong(name).map(({ id }) => id)]))).toEqual(
    Object.fromEntries(FAULTS.map(({ name, expected }) => [name, expected.map(([id]) => id)])),
  );
  for (const { name, expected } of FAULTS) {
    for (const [index, { found, fix }] of wrong(name).entries()) {
      expect(found).toMatch(expected[index]![1]);
      expect(fix).toMatch(expected[index]![2]);
    }
  }

  // What is said to mend them does.
  for (const port of [8083, 8092]) {
    const visit = ["curl", "-s", "-m", `${patient(3000) / 1000}`, `http://10.0.0.2:${port}/`];
    const [{ fix }] = FAULTS.flatMap(({ name, args }) => (args.includes(`:${port} `) ? wrong(name) : []));
    run(lab.online, "sh", "-c", fix!);
    expect(run(lab.online, ...visit)).toBe("ok");
  }
});
