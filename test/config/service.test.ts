/** `-o` of intercept. */
import { describe, expect, test } from "bun:test";
import { formatService, parseServices } from "../../src/config/service.ts";
import { failing } from "./failing.ts";

describe("services", () => {
  test.each([
    [":8080", ["*:8080"]],
    ["8080", ["*:8080"]],
    ["*:80", ["*:80"]],
    ["10.0.0.2:80", ["10.0.0.2:80"]],
    ["[2001:db8::2]:80", ["[2001:db8::2]:80"]],
    [":8080-8090, 10.0.0.2:443", ["*:8080-8090", "10.0.0.2:443"]],
    ["10.0.0.2:80,10.0.0.3:80", ["10.0.0.2:80", "10.0.0.3:80"]],
    [":1-65535", ["*:1-65535"]],
  ])("%s", (text, services) => {
    expect(parseServices([text]).map(formatService)).toEqual(services);
  });

  test("come from several values", () => {
    expect(parseServices([":80", ":443,:8080"]).map(formatService)).toEqual(["*:80", "*:443", "*:8080"]);
  });

  test.each([
    ["10.0.0.2", "not an address and a port"],
    ["", "not an address and a port"],
    [":0", '"0" is not a port from 1 to 65535'],
    [":70000", '"70000" is not a port from 1 to 65535'],
    [":90-80", "the first port is above the last"],
    ["10.0.0.256:80", '"10.0.0.256" is not an address'],
    ["2001:db8::2:80", "not an address and a port"],
    ["[10.0.0.2]:80", '"[10.0.0.2]" is not an address'],
    ["224.0.0.1:80", '"224.0.0.1" cannot be one end of a connection, it is a multicast address'],
    [":80,:79-81", 'its ports are in ":80" too'],
    ["target:80", '"target" is not an address'],
  ])("%j is refused", (text, cause) => {
    const failure = failing(() => parseServices([text]));
    expect(failure.message).toBe(`Cannot use -o "${text.split(",").at(-1)}": ${cause}`);
    expect(failure.exitCode).toBe(2);
  });
});
