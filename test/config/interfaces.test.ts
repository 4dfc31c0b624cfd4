/** The values of `-i`: which interfaces they name. */
import { expect, test } from "bun:test";
import { chooseInterfaces } from "../../src/config/interfaces.ts";
import { failing } from "./failing.ts";

const present = [
  { name: "lo", ifindex: 1, up: true },
  { name: "eth0", ifindex: 2, up: true },
  { name: "eth1", ifindex: 3, up: false },
];
const names = (...values: string[]) => chooseInterfaces(values, present).map(({ name }) => name);

test("without -i all that are up", () => expect(names()).toEqual(["lo", "eth0"]));
test("with -i the named ones, up or not, each once", () => {
  expect(names("eth1,lo", "lo")).toEqual(["eth1", "lo"]);
});

test.each(["eth9", "", "eth0,", "ETH0"])('-i "%s" names one that is not there', (value) => {
  expect(failing(() => names(value))).toEqual({
    message: `Cannot use -i "${value === "eth0," ? "" : value}": no such network interface`,
    fix: "There are: lo, eth0, eth1.",
    exitCode: 2,
  });
});
