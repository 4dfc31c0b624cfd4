/** Which requests are one endpoint. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { fits, parseEndpointRule } from "../../src/compare/endpoint/rules.ts";
import { templateOf, templateOfName } from "../../src/compare/endpoint/template.ts";
import { anyText, compare, pair } from "./pairs.ts";

test.each([
  ["/users/123?x=1#y", "/users/{id}"],
  ["/a/550e8400-e29b-41d4-a716-446655440000/b", "/a/{id}/b"],
  ["/a/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/a/{id}"],
  ["/a/feedfacefeedface", "/a/{id}"],
  ["/a/3f2a9c1b", "/a/{id}"],
  ["/a/decade", "/a/decade"],
  ["/watch/dQw4w9WgXcQ", "/watch/{id}"],
  ["/customers/cus_9s6XKzkNRiz8i3", "/customers/{id}"],
  ["/iPhone13ProMax/XMLHttpRequest2Level", "/iPhone13ProMax/XMLHttpRequest2Level"],
  ["/getUserByIdAndName/internationalization", "/getUserByIdAndName/internationalization"],
  ["/days/2026-11-30/hours/2026-11-30T12:00:00Z", "/days/{id}/hours/{id}"],
  ["/days/2026/11/30", "/days/{id}/{id}/{id}"],
  ["/api/v1/orders/order-12345.json", "/api/v1/orders/order-{id}.json"],
  ["/jquery-3.6.0.min.js", "/jquery-3.6.0.min.js"],
  ["/assets/main.3f2a9c1b.js", "/assets/main.{id}.js"],
  ["/assets/app-B7dGh2Kx.js", "/assets/app-{id}.js"],
  ["/my-article-about-go", "/my-article-about-go"],
  ["/user12345", "/user{id}"],
  ["/mail/a@b.com/x", "/mail/{id}/x"],
  ["/mail/a%40b.com", "/mail/{id}"],
  ["/basket;jsessionid=1A2B", "/basket"],
  ["/", "/"],
  ["//a//b/", "//a//b/"],
  ["", ""],
  ["*", "*"],
  ["example.com:443", "example.com:443"],
  ["http://shop/path/12", "http://shop/path/{id}"],
  ["/x/%ff%fe%zz", "/x/%ff%fe%zz"],
  ["/<script>alert()</script>", "/<script>alert()</script>"],
  ["/{a}/\ud800", "/{a}/\ud800"],
  [`/x/${"y".repeat(5000)}`, "/x/{id}"],
])("%s", (target, template) => {
  expect(templateOf(target)).toBe(template);
});

test.each([
  ["www.example.com", "www.example.com"],
  ["ns1.example.com.", "ns1.example.com."],
  ["3f2a9c1b.cdn.example.com.", "{id}.cdn.example.com."],
  ["7.2.0.10.in-addr.arpa", "{id}.in-addr.arpa"],
  ["b.a.9.8.ip6.arpa.", "{id}.ip6.arpa."],
  ["", ""],
])("name %s", (name, template) => {
  expect(templateOfName(name)).toBe(template);
});

test("whatever a target is, its template is bounded and text", () => {
  fc.assert(
    fc.property(anyText(600), (text) => {
      expect(templateOf(`/${text}`).length).toBeLessThan(210);
      expect(templateOfName(text).length).toBeLessThan(210);
    }),
  );
});

test.each([
  ["GET /users/*", "GET", "/users/x?y=1", true],
  ["GET /users/*", "POST", "/users/x", false],
  ["get /users/*", "GET", "/users/x", true],
  ["/users/*", "POST", "/users/x", true],
  ["* /users/*", "POST", "/users/x", true],
  ["/users/*", "GET", "/users/", false],
  ["/users/*", "GET", "/users", false],
  ["/users/*", "GET", "/users/x/y", false],
  ["/users/*/orders", "GET", "/users/x/orders", true],
  ["/static/**", "GET", "/static/a/b/c.js", true],
  ["/static/**", "GET", "/static", true],
  ["/static/**", "GET", "/statics", false],
  ["/**", "GET", "/", true],
  ["/", "GET", "/", true],
  ["/", "GET", "/x", false],
  ["/a", "GET", "http://shop/a", true],
  ["/a", "OPTIONS", "*", false],
])("%s and %s %s", (rule, method, target, fit) => {
  expect(fits(parseEndpointRule(rule), method, target)).toBe(fit);
});

test.each([
  ["", "it is not a method and a path"],
  ["GET", "its path does not begin with /"],
  ["GET /a b", "it is not a method and a path"],
  ["G@T /a", '"G@T" is no method'],
  ["/a?b=1", "queries are not part of an endpoint"],
  ["/a/**/b", "** is not at its end"],
  ["/a/x*", '"x*" is more than a *'],
])("--endpoint %p is refused", (text, cause) => {
  expect(() => parseEndpointRule(text)).toThrow(
    expect.objectContaining({ message: `Cannot use --endpoint "${text}": ${cause}`, exitCode: 2 }),
  );
});

test("the first rule that fits names the endpoint; paths without one have their template", () => {
  const endpoints = ["GET /users/*/orders", "/users/**"].map(parseEndpointRule);
  const pairs = ["/users/bob/orders", "/users/alice/x/y", "/users", "/carts/7"].map((name) =>
    pair(name, {}, {}),
  );
  const names = compare(pairs, { endpoints }).endpoints.map(({ name, count }) => [name, count]);
  expect(names.sort()).toEqual([
    ["/carts/{id}", 1],
    ["/users/**", 2],
    ["/users/*/orders", 1],
  ]);
});
