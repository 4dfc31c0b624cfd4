/** No secret that is sent anywhere gets into a report, in any form. */
import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { maskError } from "../../src/compare/mask/error.ts";
import { isSecretName } from "../../src/compare/mask/names.ts";
import { applyMasks, parseMask } from "../../src/compare/mask/pattern.ts";
import { maskHead, maskText } from "../../src/compare/mask/text.ts";
import { anyText, compare, pair } from "./pairs.ts";

test.each([
  ["GET /a?token=S3CRET&x=1&api_key=S3CRET HTTP/1.1", "GET /a?token=***&x=1&api_key=*** HTTP/1.1"],
  ["/cb?code=S3CRET&state=S3CRET&page=2", "/cb?code=***&state=***&page=2"],
  ["https://bob:S3CRET@host/x", "https://***@host/x"],
  [
    "/cb?next=https%3A%2F%2Fbob%3AS3CRET%40h%2F%3Ftoken%3DS3CRET%26x%3D1",
    "/cb?next=https%3A%2F%2F***%40h%2F%3Ftoken%3D***%26x%3D1",
  ],
  ["/x?a=%253Fpassword%253DS3CRET", "/x?a=%253Fpassword%253D***"],
  [
    '{"password":"S3\\"CRET","x":1,"author":"Bob","pin":1234,"secret":null}',
    '{"password":"***","x":1,"author":"Bob","pin":"***","secret":null}',
  ],
  ['{"auth":{"a":["S3CRET"]},"b":2}', '{"auth":"***","b":2}'],
  ['{"x":"{\\"token\\":\\"S3CRET\\",\\"y\\":1}"}', '{"x":"{\\"token\\":\\"***\\",\\"y\\":1}"}'],
  ['{"tok\\u0065n":"S3CRET"}', '{"tok\\u0065n":"***"}'],
  ['{"token":"S3CRET is cut', '{"token":"***"'],
  ["user=a&password=S3CRET+S3CRET&z=1", "user=a&password=***&z=1"],
  ["pass%77ord=S3CRET", "pass%77ord=***"],
  ["<a><Password>S3CRET</Password><b>1</b></a>", "<a><Password>***</Password><b>1</b></a>"],
  ['<input name="csrf_token" token="S3CRET">', '<input name="csrf_token" token="***">'],
  [
    '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nS3CRET\r\n--b--',
    '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n***\r\n--b--',
  ],
  ["Authorization: Basic S3CRET", "Authorization: ***"],
  ["it said Bearer S3CRET12345 to us", "it said Bearer *** to us"],
  ["x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.S3CRET y", "x *** y"],
  ["password: S3CRET, more", "password: ***"],
  ["{password: 'S3CRET', a: 1}", "{password: '***', a: 1}"],
  [
    "Table 'shop.orders' has monkey=1 keyboard=2 author=Bob",
    "Table 'shop.orders' has monkey=1 keyboard=2 author=Bob",
  ],
  ["invalid token supplied", "invalid token supplied"],
])("%s", (text, masked) => {
  expect(maskText(text)).toBe(masked);
});

test("a head has its fields masked whole, where they are folded too", () => {
  const head =
    "GET /?code=S3CRET HTTP/1.1\nHost: shop\nAuthorization: Basic\n  S3CRET\n\tS3CRET\nCookie: a=S3CRET; b=S3CRET\nX-Api-Key: S3CRET\nReferer: http://x/?session=S3CRET&b=2\nAccept: */*";
  expect(maskHead(head)).toBe(
    "GET /?code=*** HTTP/1.1\nHost: shop\nAuthorization: ***\nCookie: ***\nX-Api-Key: ***\nReferer: http://x/?session=***&b=2\nAccept: */*",
  );
});

test.each([
  ...[
    "token",
    "access_token",
    "X-Auth-Token",
    "apiKey",
    "API-KEY",
    "userPassword",
    "passwd",
    "PHPSESSID",
    "JSESSIONID",
    "sid",
    "csrfToken",
    "client_secret",
    "x-amz-signature",
    "Set-Cookie",
    "pass%77ord",
    "key",
  ].map((name) => [name, true] as const),
  ...[
    "author",
    "authority",
    "monkey",
    "keyboard",
    "assessment",
    "passenger",
    "compass",
    "hotkeys2",
    "signal",
    "id",
    "",
  ].map((name) => [name, false] as const),
])("%s is the name of a secret: %p", (name, isSecret) => {
  expect(isSecretName(name)).toBe(isSecret);
});

test.each([
  ["Duplicate entry 'bob@shop' for key 'PRIMARY'", "Duplicate entry '***' for key 'PRIMARY'"],
  ["Table 'shop.ordres' doesn't exist", "Table 'shop.ordres' doesn't exist"],
  ["Unknown column 'prize' in 'field list'", "Unknown column 'prize' in '***'"],
  ["syntax to use near 'WHERE a = ''x''' at line 1", "syntax to use near '***' at line 1"],
])("%s", (message, masked) => {
  expect(maskError(message, () => {})).toBe(masked);
});

test("--mask takes what a user asks for, and refuses what it cannot", () => {
  const masks = [parseMask("sk_live_[0-9a-z]+"), parseMask("(a+)+$")];
  expect(applyMasks("x sk_live_abc123 y", masks)).toBe("x *** y");
  for (const [text, cause, fix] of [
    ["(", "missing closing )", "Give a regular expression"],
    ["(?=a)", "invalid or unsupported Perl syntax", "without look-around"],
    ["(a)\\1", "invalid escape sequence", "without look-around"],
    ["a*", "it matches where nothing is", "Have it match at least one character"],
  ] as const)
    expect(() => parseMask(text)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(`Cannot use --mask "${text}": ${cause}`),
        fix: expect.stringContaining(fix),
        exitCode: 2,
      }),
    );
});

/** Secrets that no text has by chance, and what they look like in other forms. */
const SECRETS = Array.from({ length: 24 }, (_, index) =>
  `s3cr3t${String.fromCharCode(97 + index)}Q${index}z/+ %`.replace(/[ %]/g, "x"),
);
const formsOf = (secret: string) => [
  secret,
  encodeURIComponent(secret),
  Buffer.from(secret).toString("base64").replace(/=+$/, ""),
  Buffer.from(`bob:${secret}`).toString("base64").replace(/=+$/, ""),
  JSON.stringify(secret).slice(1, -1),
];

function leaksIn(report: object): string[] {
  const text = JSON.stringify(report);
  return SECRETS.flatMap(formsOf).filter((form) => text.includes(form));
}

test("secrets in all places of a request and its responses are in no part of the report", () => {
  const s = (index: number) => SECRETS[index]!;
  const basic = (index: number) => Buffer.from(`bob:${s(index)}`).toString("base64");
  const request = [
    `POST http://bob:${encodeURIComponent(s(0))}@shop/login?token=${encodeURIComponent(s(1))}&next=%2F%3Fpassword%3D${encodeURIComponent(s(2))} HTTP/1.1`,
    "Host: shop",
    `Authorization: Basic ${basic(3)}`,
    `Proxy-Authorization: Basic`,
    `  ${basic(4)}`,
    `Cookie: theme=dark; id=${s(5)}`,
    `X-Api-Key:${s(6)}`,
    `Referer: http://shop/?session=${s(7)}`,
    "Content-Type: application/json",
  ].join("\r\n");
  const body = JSON.stringify({
    user: "bob",
    password: s(8),
    deep: { client_secret: { value: s(9) } },
    note: `sk_live_${s(10)}`,
  });
  const answer = (side: number) => ({
    status: 200,
    lines: [
      `Set-Cookie: id=${s(11)}; Path=/`,
      `Set-Cookie: other=${s(12 + side)}`,
      `Location: http://bob:${encodeURIComponent(s(14))}@shop/?sid=${s(15)}&side=${side}`,
    ],
    // Under other names: what is a secret in one place is one in all.
    body: {
      token: s(16 + side),
      echo: { cookie2: s(5), text: `you said ${s(8)}`, header: basic(3), url: encodeURIComponent(s(2)) },
      note: `sk_live_${s(18 + side)}`,
      [`sk_live_${s(20)}`]: side,
      form: `a=1&password=${encodeURIComponent(s(21))}`,
      side,
    },
  });
  const given = pair(
    `http://bob:${encodeURIComponent(s(0))}@shop/login?token=${encodeURIComponent(s(1))}`,
    answer(0),
    answer(1),
    {
      method: "POST",
      request: new TextEncoder().encode(`${request}\r\n\r\n`),
      requestBody: new TextEncoder().encode(body),
    },
  );
  const failed = pair(
    `/customers/sk_live_${s(22)}/x`,
    {},
    { status: 500, body: { token: s(17), a: `sk_live_${s(22)}` } },
  );
  const mysql = pair(
    "SELECT ? FROM t /* sk_live_" + s(22) + " */",
    { status: 0, head: "" },
    { status: 1062, head: `Duplicate entry '${s(23)}' for key 'PRIMARY'` },
    { protocol: "mysql", method: "query" },
  );
  const report = compare([given, failed, mysql], { masks: [parseMask("sk_live_[^ \"']+")] });
  expect(report.endpoints.flatMap(({ examples }) => examples).length).toBeGreaterThan(2);
  expect(report.endpoints.flatMap(({ differences }) => differences).length).toBeGreaterThan(5);
  expect(leaksIn(report)).toEqual([]);
  expect(JSON.stringify(report)).toContain("Duplicate entry '***' for key 'PRIMARY'");
});

test("attributes of cookies, and cookies that are words, are masked in their field only", () => {
  const lines = [
    "Set-Cookie: id=x7y8z9a1; Domain=example.com; SameSite=Strict; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
  ];
  const request = new TextEncoder().encode(
    "GET / HTTP/1.1\r\nHost: example.com\r\nCookie: theme=darkmode\r\n\r\n",
  );
  const body = "Strict darkmode at 07:28:00, x7y8z9a1";
  const [example] = compare([pair("/", { lines, body }, { lines, body: `${body}!` }, { request })])
    .endpoints[0]!.examples;
  expect(example!.request.head).toBe("GET / HTTP/1.1\nHost: example.com\nCookie: ***");
  expect(example!.production!.body).toBe("Strict darkmode at 07:28:00, ***");
});

test("compressed content is masked as well", () => {
  const content = (side: number) => gzipSync(JSON.stringify({ password: SECRETS[side], side }));
  const lines = ["Content-Encoding: gzip"];
  const report = compare([pair("/", { body: content(0), lines }, { body: content(1), lines })]);
  expect(report.endpoints[0]!.examples[0]!.target!.body).toBe('{"password":"***","side":1}');
  expect(leaksIn(report)).toEqual([]);
});

test("masking takes a time that grows with the text, whatever it is", () => {
  const pieces = [
    "a",
    "=",
    '"a":',
    'name="x"\n\n',
    "%3f",
    "a:",
    "<a>",
    '{"key":[',
    "https://",
    '\\"',
    "'key':\"",
    "key:[{",
    "&token=",
    "Bearer ",
    "eyJaaaaaaaa.",
    "token: \n ",
    "%25",
  ];
  const work = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(work, (some) => {
      const text = some.join("").repeat(Math.ceil(8192 / some.join("").length));
      // The sizes do not explode either.
      expect(maskText(text).length).toBeLessThan(6 * text.length);
    }),
  );
});

test("any text comes out as text", () => {
  fc.assert(fc.property(anyText(200), (text) => expect(typeof maskHead(text)).toBe("string")));
});
