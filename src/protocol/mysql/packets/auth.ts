/** The answers of authentication plugins to a server's challenge. */
import { constants, createHash, createPublicKey, publicEncrypt } from "node:crypto";
import { sign } from "./ed25519.ts";

export const NATIVE = "mysql_native_password";
export const CACHING_SHA2 = "caching_sha2_password";
export const SHA256 = "sha256_password";
export const ED25519 = "client_ed25519";
/** Plugins for which `firstResponse` has an answer. */
const SUPPORTED = new Set([NATIVE, CACHING_SHA2, SHA256, ED25519]);
/** Bytes of the challenge of all plugins except ed25519. */
const SCRAMBLE_BYTES = 20;

export function isSupported(plugin: string): boolean {
  return SUPPORTED.has(plugin);
}

function digest(algorithm: string, ...parts: Uint8Array[]): Uint8Array {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function xor(one: Uint8Array, other: Uint8Array): Uint8Array {
  return one.map((byte, index) => byte ^ other[index % other.length]!);
}

/** SHA1(password) xor SHA1(scramble, SHA1(SHA1(password))); empty for an empty password. */
export function nativeResponse(password: Uint8Array, scramble: Uint8Array): Uint8Array {
  if (password.length === 0) return new Uint8Array(0);
  const once = digest("sha1", password);
  return xor(once, digest("sha1", scramble.subarray(0, SCRAMBLE_BYTES), digest("sha1", once)));
}

/** SHA256(password) xor SHA256(SHA256(SHA256(password)), scramble). */
export function cachingSha2Response(password: Uint8Array, scramble: Uint8Array): Uint8Array {
  if (password.length === 0) return new Uint8Array(0);
  const once = digest("sha256", password);
  return xor(once, digest("sha256", digest("sha256", once), scramble.subarray(0, SCRAMBLE_BYTES)));
}

/** The password, encrypted with the server's public `key` (PEM; PKCS #1, OAEP). */
export function encryptedPassword(password: Uint8Array, scramble: Uint8Array, key: string): Uint8Array {
  const terminated = new Uint8Array(password.length + 1);
  terminated.set(password);
  return publicEncrypt(
    { key: createPublicKey(key), padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" },
    xor(terminated, scramble.subarray(0, SCRAMBLE_BYTES)),
  );
}

/** The client's first authentication response, for a supported plugin. `password`: in the character set of the client. */
export function firstResponse(plugin: string, password: Uint8Array, scramble: Uint8Array): Uint8Array {
  switch (plugin) {
    case CACHING_SHA2:
      return cachingSha2Response(password, scramble);
    case SHA256:
      // 1 asks for the server's public key.
      return Uint8Array.of(password.length === 0 ? 0 : 1);
    case ED25519:
      return sign(password, scramble);
    default:
      return nativeResponse(password, scramble);
  }
}
