/** unbound as an authoritative DNS server on either side, and what its log says it was asked. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import { run } from "./process.ts";
import { until } from "./until.ts";

/** Names that it knows: host0.example to host49.example with an address each, large.example with texts of 4,000 bytes. */
const HOSTS = 50;

export interface Unbound {
  /** Names it was asked for so far, with type and family of the address they came from, in the order of the log. */
  questions(): string[];
}

/** A zone that it has beside its own. */
export interface Zone {
  name: string;
  /** Its zone file. */
  file: string;
}

/** dnsperf asks a server `count` times, `rate` times a second, for the hosts in turn; resolves with the number of answers. */
export async function ask(lab: Lab, server: string, count: number, rate: number): Promise<number> {
  const file = join(lab.directory, "questions");
  const questions = Array.from({ length: count }, (_, index) => `host${index % HOSTS}.example A\n`);
  writeFileSync(file, questions.join(""));
  const options = ["-s", server, "-d", file, "-n", "1", "-Q", `${rate}`, "-c", "20", "-T", "2"];
  const dnsperf = lab.start(lab.client, ["dnsperf", ...options]);
  await dnsperf.exited;
  const line = dnsperf.output.find((text) => text.includes("Queries completed:"));
  return Number(/completed:\s+(\d+)/.exec(line ?? "")?.[1] ?? 0);
}

/** Makes the zone "signed." with addresses and keys that are too large for one packet, and signs it. */
export function signZone({ directory, client }: Lab): Zone {
  const name = "signed.";
  const file = join(directory, "signed.zone");
  const hosts = Array.from({ length: 5 }, (_, index) => `host${index} A 10.9.1.${index}`);
  const head = [
    `$ORIGIN ${name}`,
    "$TTL 300",
    "@ SOA ns admin 1 3600 600 86400 300",
    "@ NS ns",
    "ns A 10.9.1.9",
  ];
  writeFileSync(file, [...head, ...hosts, ""].join("\n"));
  const makeKey = (...options: string[]) =>
    run(
      client,
      "sh",
      "-c",
      `cd ${directory} && ldns-keygen -a RSASHA256 -b 4096 -r /dev/urandom ${options.join(" ")} ${name}`,
    ).trim();
  const keys = [makeKey("-k"), makeKey()].map((key) => join(directory, key));
  run(client, "ldns-signzone", "-f", `${file}.signed`, file, ...keys);
  return { name, file: `${file}.signed` };
}

/** Starts it on all addresses of a namespace and resolves when it answers. `hosts`: how many it knows. */
export async function startUnbound(
  lab: Lab,
  namespace: string,
  port: number,
  { logs = true, zone, hosts: count = HOSTS }: { logs?: boolean; zone?: Zone; hosts?: number } = {},
): Promise<Unbound> {
  const name = join(lab.directory, `unbound-${namespace}-${port}-${Date.now()}`);
  const hosts = Array.from(
    { length: count },
    (_, index) => `  local-data: "host${index}.example. A 10.9.0.${index}"`,
  );
  const texts = Array.from(
    { length: 20 },
    (_, index) => `  local-data: 'large.example. TXT "${index} ${"x".repeat(196)}"'`,
  );
  writeFileSync(
    `${name}.conf`,
    [
      "server:",
      `  port: ${port}`,
      // Answers come from the address that was asked, whatever the way back.
      "  interface-automatic: yes",
      "  access-control: 0.0.0.0/0 allow",
      "  access-control: ::0/0 allow",
      '  username: ""',
      '  chroot: ""',
      `  directory: "${lab.directory}"`,
      `  pidfile: "${name}.pid"`,
      "  use-syslog: no",
      `  logfile: "${name}.log"`,
      `  log-queries: ${logs ? "yes" : "no"}`,
      "  do-daemonize: no",
      "  so-rcvbuf: 8m",
      "  edns-buffer-size: 4096",
      "  max-udp-size: 4096",
      '  local-zone: "example." static',
      ...hosts,
      ...texts,
      ...(zone
        ? ["auth-zone:", `  name: "${zone.name}"`, `  zonefile: "${zone.file}"`, "  for-upstream: no"]
        : []),
      "remote-control:",
      "  control-enable: no",
      "",
    ].join("\n"),
  );
  const running = lab.start(namespace, ["unbound", "-d", "-c", `${name}.conf`]);
  await until("unbound listens", () => {
    if (running.ended()) throw new Error(`unbound ended:\n${running.errors.join("\n")}`);
    return run(namespace, "ss", "-Hlun", `sport = :${port}`).trim() !== "";
  });
  return {
    questions: () =>
      readFileSync(`${name}.log`, "utf8")
        .split("\n")
        .flatMap((line) => {
          const match = /info: (\S+) (\S+)\. (\S+) IN$/.exec(line);
          return match ? [`${match[2]} ${match[3]} ${match[1]!.includes(":") ? "IPv6" : "IPv4"}`] : [];
        }),
  };
}
