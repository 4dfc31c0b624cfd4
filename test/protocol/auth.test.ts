/** Answers to challenges, against the vectors of other implementations and of the standards. */
import { expect, test } from "bun:test";
import { createPrivateKey, generateKeyPairSync, privateDecrypt, sign as signWithNode } from "node:crypto";
import fc from "fast-check";
import {
  cachingSha2Response,
  encryptedPassword,
  firstResponse,
  nativeResponse,
} from "../../src/protocol/mysql/packets/auth.ts";
import { sign } from "../../src/protocol/mysql/packets/ed25519.ts";
import { seeded } from "../support/seed.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const text = (value: string) => new TextEncoder().encode(value);
/** Of auth_test.go of go-sql-driver/mysql, with the two vectors below. */
const SCRAMBLE = Uint8Array.of(
  10,
  47,
  74,
  111,
  75,
  73,
  34,
  48,
  88,
  76,
  114,
  74,
  37,
  13,
  3,
  80,
  82,
  2,
  23,
  21,
);

test("caching_sha2_password", () => {
  expect(hex(cachingSha2Response(text("secret"), SCRAMBLE))).toBe(
    "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c",
  );
  expect(hex(cachingSha2Response(text("secret2"), SCRAMBLE))).toBe(
    "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6",
  );
});

test("the response for an empty password is empty, for sha256_password a zero", () => {
  for (const plugin of ["mysql_native_password", "caching_sha2_password"]) {
    expect(firstResponse(plugin, text(""), SCRAMBLE)).toEqual(new Uint8Array(0));
  }
  expect(firstResponse("sha256_password", text(""), SCRAMBLE)).toEqual(Uint8Array.of(0));
});

test("the response of mysql_native_password passes the server's check", () => {
  const sha1 = (...parts: Uint8Array[]) => {
    const hash = new Bun.CryptoHasher("sha1");
    for (const part of parts) hash.update(part);
    return new Uint8Array(hash.digest().buffer.slice(0));
  };
  const stored = sha1(sha1(text("secret")));
  const response = nativeResponse(text("secret"), SCRAMBLE);
  const mask = sha1(SCRAMBLE, stored);
  // The server takes the mask off, and hashes what is left once more (sql_authentication.cc, check_scramble).
  expect(hex(sha1(response.map((byte, index) => byte ^ mask[index]!)))).toBe(hex(stored));
});

test("ed25519: RFC 8032 section 7.1, tests 1 and 2", () => {
  const cases: [seed: string, message: string, signature: string][] = [
    [
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
  ];
  for (const [seed, message, signature] of cases) {
    expect(hex(sign(Buffer.from(seed, "hex"), Buffer.from(message, "hex")))).toBe(signature);
  }
});

test("ed25519: signatures of any seed and message are those of node:crypto", () => {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, fc.uint8Array({ maxLength: 40 }), (seed, message) => {
      const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
      const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
      expect(hex(sign(seed, message))).toBe(hex(signWithNode(null, message, key)));
    }),
    seeded(20),
  );
});

test("an encrypted password can be decrypted with the private key and the challenge only", () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = publicKey.export({ type: "spki", format: "pem" }) as string;
  const plain = privateDecrypt(
    { key: privateKey, oaepHash: "sha1" },
    encryptedPassword(text("secret"), SCRAMBLE, pem),
  );
  expect(Buffer.from(plain.map((byte, index) => byte ^ SCRAMBLE[index % 20]!)).toString()).toBe("secret\0");
});
