/** Names with several addresses: which one is used, and what is said about the others. */
import { expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../src/config/address.ts";
import { chooseAddress, hasRoute, type Try, tryConnection } from "../../src/copy/target/choose-address.ts";

const SIX = parseAddress("2001:db8::99")!;
const FOUR = parseAddress("10.0.0.2")!;
const OTHER = parseAddress("10.0.0.3")!;

/** An attempt that fails for these addresses. */
const failing =
  (faults: Record<string, string>): Try =>
  async ({ bytes }) =>
    faults[formatAddress(bytes)] ?? null;

test.each([
  [{}, "2001:db8::99", "svc has 3 addresses: 2001:db8::99 is used."],
  [
    { "2001:db8::99": "does not answer" },
    "10.0.0.2",
    "svc has 3 addresses: 10.0.0.2 is used (2001:db8::99 does not answer).",
  ],
  [
    { "2001:db8::99": "does not answer", "10.0.0.2": "refuses the connection" },
    "10.0.0.3",
    "svc has 3 addresses: 10.0.0.3 is used (2001:db8::99 does not answer, 10.0.0.2 refuses the connection).",
  ],
  [
    { "2001:db8::99": "has no route", "10.0.0.2": "does not answer", "10.0.0.3": "does not answer" },
    "2001:db8::99",
    "svc has 3 addresses: 2001:db8::99 is used (2001:db8::99 has no route, 10.0.0.2 does not answer, 10.0.0.3 does not answer).",
  ],
])("with %j the address is %s", async (faults, chosen, said) => {
  const found = await chooseAddress(
    { name: "svc", addresses: [SIX, FOUR, OTHER], port: 80 },
    failing(faults),
  );
  expect(formatAddress(found.address.bytes)).toBe(chosen);
  expect(found.note).toBe(said);
});

const LOOPBACK = parseAddress("127.0.0.1")!;

test("a connection is tried: to a listener, and to a port that nobody listens on", async () => {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  expect(await tryConnection(LOOPBACK, port)).toBeNull();
  server.stop(true);
  expect(await tryConnection(LOOPBACK, port)).toBe("refuses the connection");
});

test("a route is looked for without sending: to this host, and to one that no host can have", async () => {
  expect(await hasRoute(LOOPBACK)).toBeNull();
  expect(await hasRoute(parseAddress("ff00::1")!)).toBe("has no route");
});

test("of a UDP service only the route is tried", async () => {
  const never: Try = () => Promise.reject(new Error("it must not be connected to"));
  const { address } = await chooseAddress(
    { name: "svc", addresses: [LOOPBACK, FOUR], port: 53, transport: "udp" },
    never,
  );
  expect(address).toBe(LOOPBACK);
});
