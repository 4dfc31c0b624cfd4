/** The hosts that the pages speak of, with the services that a page asks for, and how a block of commands is run on one of them. */
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { ip, ONLINE } from "../../src/demo/network.ts";
import { createAssistant } from "../support/assistant.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startMariaDb } from "../support/mariadb.ts";
import { startNginx } from "../support/nginx.ts";
import { type Running, run } from "../support/process.ts";
import { startUnbound } from "../support/unbound.ts";
import { XCOPY } from "../support/xcopy.ts";

/** What clients ask, and how often the target was asked so far. */
interface Traffic {
  /** Lets the clients ask some times, and resolves when all is answered. */
  ask(): void;
  asked(): number;
}

/** What one page does on the hosts. */
export interface Visit {
  /** Starts a block on a host by its name in the pages: production, target, client, assistant. */
  start(host: string, text: string): Running;
  traffic: Traffic[];
  /** Ends what was started. */
  end(): Promise<void>;
}

export interface Hosts {
  /** For one page after the other: each has files of its own. */
  visit(): Visit;
  remove(): Promise<void>;
}

/** Where xcopy keeps keys and files of configuration; each page has its own there. */
const ETC = "/etc/xcopy";

let isEtcMade = false;

/** Removes the directory on which those of the pages were mounted, if it was not there before. */
export function removeMountPoint(): void {
  if (isEtcMade) rmdirSync(ETC);
}

/** How a block is begun: in files of the page's own, with xcopy in PATH. */
const BEGIN = [
  'mkdir -p /run/xcopy "$1/etc" "$1/run" "$1/home" "$1/bin"',
  'ln -sf "$2" "$1/bin/xcopy"',
  `mount --bind "$1/etc" ${ETC}`,
  'mount --bind "$1/run" /run/xcopy',
  'cd "$1/home"',
  'PATH="$1/bin:$PATH"',
  'exec bash -eo pipefail -c "$3"',
].join(" && ");

/** As on a host with one card for its clients and one for the services behind it. */
function nameCards(lab: Lab): void {
  for (const [from, to] of [
    ["front", "eth0"],
    ["back", "eth1"],
  ] as const) {
    run(lab.online, "sysctl", "-qw", `net.ipv6.conf.${from}.keep_addr_on_down=1`);
    ip("-n", lab.online, "link", "set", from, "down");
    ip("-n", lab.online, "link", "set", from, "name", to, "up");
  }
}

async function startWeb(lab: Lab): Promise<Traffic> {
  const [, target] = await Promise.all([
    startNginx(lab, lab.online, 80),
    startNginx(lab, lab.target, 8080),
    startNginx(lab, lab.target, 80),
  ]);
  return {
    ask: () => void run(lab.client, "curl", "-sf", "-o", "/dev/null", `http://${ONLINE}/orders/[1-20]`),
    asked: () => readFileSync(target.log, "utf8").split("GET /orders/").length - 1,
  };
}

async function startSql(lab: Lab): Promise<Traffic> {
  const user = (password: string) => [
    "CREATE DATABASE shop",
    "CREATE TABLE shop.orders (id INT PRIMARY KEY)",
    `CREATE USER app@'%' IDENTIFIED BY '${password}'`,
    "GRANT ALL ON shop.* TO app@'%'",
  ];
  const [, target] = await Promise.all([
    startMariaDb(lab, lab.online, { setUp: user("production") }),
    startMariaDb(lab, lab.target, { setUp: user("secret") }),
  ]);
  const words = ["--no-defaults", "--skip-ssl", "-h", ONLINE, "-uapp", "-pproduction", "shop"];
  return {
    ask: () => void run(lab.client, "mariadb", ...words, "-e", "SELECT COUNT(*) FROM orders"),
    asked: () => target.status("Com_select"),
  };
}

async function startDns(lab: Lab): Promise<Traffic> {
  const [, target] = await Promise.all([
    startUnbound(lab, lab.online, 53),
    startUnbound(lab, lab.target, 5353),
  ]);
  const names = Array.from({ length: 10 }, (_, index) => [`host${index}.example`, "A"]).flat();
  return {
    ask: () => void run(lab.client, "dig", "+short", `@${ONLINE}`, ...names),
    asked: () => target.questions().length,
  };
}

const SERVICES: Record<string, (lab: Lab) => Promise<Traffic>> = {
  web: startWeb,
  mysql: startSql,
  dns: startDns,
};

/** Makes the hosts of a page. `needs` are services; "assistant", which the target routes its answers to; "own" means nothing here. */
export async function createHosts(needs: readonly string[]): Promise<Hosts> {
  const lab = createLab({ manyClients: false });
  nameCards(lab);
  isEtcMade ||= mkdirSync(ETC, { recursive: true }) !== undefined;
  const names: Record<string, string> = { production: lab.online, target: lab.target, client: lab.client };
  if (needs.includes("assistant")) {
    names.assistant = createAssistant(lab, ["10.1.0.0/24", "192.0.2.0/24"]);
    ip("-n", names.assistant, "link", "set", "net0", "down");
    ip("-n", names.assistant, "link", "set", "net0", "name", "eth0", "up");
    ip("-n", names.assistant, "route", "add", "default", "via", "10.3.0.1");
  }
  const wanted = needs.filter((need) => need in SERVICES);
  const traffic = await Promise.all(wanted.map((need) => SERVICES[need]!(lab)));
  let visits = 0;
  return {
    visit() {
      const directory = join(lab.directory, `page-${visits++}`);
      const begun: Running[] = [];
      return {
        traffic,
        start(host, text) {
          const namespace = names[host];
          if (!namespace)
            throw new Error(`There is no host "${host}" among ${Object.keys(names).join(", ")}`);
          const running = lab.start(namespace, ["sh", "-c", BEGIN, "sh", directory, XCOPY, text]);
          begun.push(running);
          return running;
        },
        async end() {
          for (const running of begun.splice(0).reverse()) await running.stop();
        },
      };
    },
    async remove() {
      await lab.stopAll();
      lab.remove();
    },
  };
}
