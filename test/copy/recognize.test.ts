/** Which services are read as MySQL, by what their targets on this host send first. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { parseCopy } from "../../src/copy/options.ts";
import type { Plan } from "../../src/copy/plan.ts";
import { recognizeProtocols, requireLogins } from "../../src/copy/recognize.ts";
import { lookAtGreeting } from "../../src/copy/target/greeting.ts";
import { greeting } from "../protocol/server.ts";

const servers: Server[] = [];
const ports = { mysql: 0, mail: 0, mute: 0, closed: 0 };

function serve(words: Uint8Array | string): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(words);
  });
  servers.push(server);
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
}

beforeAll(async () => {
  ports.mysql = await serve(greeting("mysql_native_password"));
  ports.mail = await serve("220 ready\r\n");
  ports.mute = await serve("");
  ports.closed = await serve("");
  await new Promise((done) => servers.pop()!.close(done));
});
afterAll(() => {
  for (const server of servers) server.close();
});

const address = { family: 4 as const, bytes: Uint8Array.of(127, 0, 0, 1) };

/** Services at these ports, each with one target on this host. */
async function recognize(words: string, services: [port: number, target: keyof typeof ports][]) {
  const plan = {
    services: services.map(([port, target]) => ({
      address: null,
      port,
      routes: [{ label: "", targets: [{ address, port: ports[target], weight: 1, paths: [0] }] }],
    })),
  } as Partial<Plan> as Plan;
  const options = parseCopy(parseArguments(COPY, `-x 80-10.0.0.2 ${words}`.trim().split(" ")));
  const said: string[] = [];
  const protocols = await recognizeProtocols(
    plan,
    options,
    (line) => said.push(line),
    (line) => said.push(`warning: ${line}`),
  );
  return { ports: protocols.map(({ port, name }) => `${port}=${name}`), said };
}

test("a greeting decides: at any port if an option is about MySQL, else at port 3306 only", async () => {
  const all: Parameters<typeof recognize>[1] = [
    [80, "mysql"],
    [81, "mail"],
    [3306, "mysql"],
  ];
  expect((await recognize("-u a@b", all)).ports).toEqual(["80=mysql", "3306=mysql"]);
  const { ports: byPort, said } = await recognize("", all);
  expect(byPort).toEqual(["3306=mysql"]);
  expect(said).toEqual([
    `127.0.0.1:${ports.mysql} greets as MySQL does: connections to port 3306 are read as mysql`,
  ]);
});

test("at port 3306 another service is warned about; one that cannot be connected to is read as MySQL", async () => {
  const other = await recognize("", [[3306, "mail"]]);
  expect(other.ports).toEqual([]);
  expect(other.said).toEqual([expect.stringContaining("does not greet as MySQL does")]);
  expect(await recognize("", [[3306, "closed"]])).toEqual({ ports: ["3306=mysql"], said: [] });
});

test("at port 3306 the warning about a silent service says that it has not greeted", async () => {
  const { ports: none, said } = await recognize("", [[3306, "mute"]]);
  expect(none).toEqual([]);
  expect(said).toEqual([
    expect.stringMatching(/^warning: \S+ has not greeted: connections to port 3306 are copied/),
  ]);
});

test("a greeting that arrives while this process is busy counts", async () => {
  const looked = lookAtGreeting("127.0.0.1", ports.mysql, 20);
  const until = performance.now() + 100;
  while (performance.now() < until);
  expect(await looked).toBe("mysql");
});

test("options about MySQL that turn out to have no effect are warned about", async () => {
  const { ports: none, said } = await recognize("-u a@b", [
    [80, "mute"],
    [81, "mail"],
  ]);
  expect(none).toEqual([]);
  expect(said).toEqual([expect.stringMatching(/^warning: the options about MySQL have no effect/)]);
});

test("nothing is said about a target that is down; with --force a warning says how to name its protocol", async () => {
  expect(await recognize("-u a@b", [[81, "closed"]])).toEqual({ ports: [], said: [] });
  const { ports: none, said } = await recognize("-u a@b --force", [[81, "closed"]]);
  expect(none).toEqual([]);
  expect(said).toEqual([
    `warning: cannot connect to 127.0.0.1:${ports.closed} to see its protocol: connections to port 81 are copied byte by byte. If it is a MySQL server, give --protocol 81=mysql`,
  ]);
});

test("a service whose protocol is named is not connected to", async () => {
  const named = await recognize("--protocol none", [[3306, "mysql"]]);
  expect(named).toEqual({ ports: ["null=null"], said: [] });
});

test("with --late spread services are read as HTTP whose protocol nothing names", async () => {
  expect((await recognize("--late spread", [[80, "mute"]])).ports).toEqual(["null=http"]);
  expect((await recognize("--late spread", [[3306, "mysql"]])).ports).toEqual(["3306=mysql", "null=http"]);
  expect((await recognize("--late spread --protocol none", [[80, "mute"]])).ports).toEqual(["null=null"]);
  expect((await recognize("--late drop:2", [[80, "mute"]])).ports).toEqual([]);
});

test.each([
  ["--capture packet", null],
  ["--capture raw", "--capture raw sees only requests"],
  ["--capture pcap", "--capture pcap does not tell what leaves this host from what comes in"],
  ["--direction out", "they come in by --direction out"],
  ["--capture packet --trust-logins", null],
  ["--capture tcx", null],
  ["--capture xdp", null],
  ["", null],
])("logins of MySQL need production's responses, or trust: %s", (words, why) => {
  const options = parseCopy(
    parseArguments(COPY, `-x 3306-10.0.0.2 --protocol 3306=mysql ${words}`.trim().split(" ")),
  );
  const plan = { services: [{ address: null, port: 3306, routes: [] }], files: [] } as Partial<Plan> as Plan;
  const check = () => requireLogins(plan, options, options.capture.backEnd);
  if (why === null) {
    check();
    return;
  }
  let thrown: unknown;
  try {
    check();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ exitCode: 2, fix: expect.stringContaining("--trust-logins") });
  expect((thrown as Error).message).toContain(why);
});
