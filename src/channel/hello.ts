/**
 * The handshake of xcopy's own protocol. The copy sends COPY_HELLO, the intercept INTERCEPT_HELLO; where a key is set, first
 * the copy and then the intercept prove that they know it.
 *
 * A proof is HMAC-SHA-256 (RFC 2104) under the key over the name of the side and both hellos, headers included. Each hello
 * carries a nonce that is new with every connection: no proof of another connection fits, and none of the other side.
 * The key protects the handshake; what follows is neither encrypted nor authenticated.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { COPY_HELLO, FRAME_HEADER, INTERCEPT_HELLO } from "./frame.ts";

/** Version of the protocol: raised for changes that the other side could not understand; optional parts are features. */
export const PROTOCOL_VERSION = 1;
/** Features, offered by each side: it has a key; the copy reads the payload of responses. */
export const HAS_KEY = 1;
export const READS_PAYLOAD = 2;

export const NONCE_BYTES = 32;
export const INSTANCE_BYTES = 8;
export const PROOF_BYTES = 32;

/** Body: magic 6, version 2, features 4, zero 4, instance 8, nonce 32; later versions may append to it. */
const MAGIC = new TextEncoder().encode("xcopy\0");
const VERSION_AT = 6;
const FEATURES_AT = 8;
const INSTANCE_AT = 16;
const NONCE_AT = 24;
export const HELLO_BYTES = NONCE_AT + NONCE_BYTES;

export interface Hello {
  version: number;
  features: number;
  /** The copy's random name: the same as long as its process lives. All zero from an intercept. */
  instance: Uint8Array;
}

export type Side = "copy" | "intercept";

/** A whole frame. `instance`: 8 bytes, `nonce`: 32 random bytes that were never used before. */
export function makeHello(
  side: Side,
  features: number,
  instance: Uint8Array,
  nonce: Uint8Array,
  version = PROTOCOL_VERSION,
): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + HELLO_BYTES);
  const view = new DataView(frame.buffer);
  view.setUint32(0, HELLO_BYTES);
  frame[4] = side === "copy" ? COPY_HELLO : INTERCEPT_HELLO;
  frame.set(MAGIC, FRAME_HEADER);
  view.setUint16(FRAME_HEADER + VERSION_AT, version);
  view.setUint32(FRAME_HEADER + FEATURES_AT, features);
  frame.set(instance, FRAME_HEADER + INSTANCE_AT);
  frame.set(nonce, FRAME_HEADER + NONCE_AT);
  return frame;
}

/** Reads the body of a hello; null if it is none. Magic and version have the same place in all versions. */
export function parseHello(view: DataView, from: number, to: number): Hello | null {
  if (to - from < HELLO_BYTES) return null;
  if (!MAGIC.every((byte, index) => view.getUint8(from + index) === byte)) return null;
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  return {
    version: view.getUint16(from + VERSION_AT),
    features: view.getUint32(from + FEATURES_AT),
    instance: bytes.slice(from + INSTANCE_AT, from + INSTANCE_AT + INSTANCE_BYTES),
  };
}

/** What `side` proves with: `copyHello` and `interceptHello` are whole frames. */
export function makeProof(
  key: Uint8Array,
  side: Side,
  copyHello: Uint8Array,
  interceptHello: Uint8Array,
): Uint8Array {
  return createHmac("sha256", key)
    .update(`xcopy channel: ${side} knows the key\0`)
    .update(copyHello)
    .update(interceptHello)
    .digest();
}

/** Compares in a time that does not depend on where two proofs differ. */
export function isProof(expected: Uint8Array, view: DataView, from: number, to: number): boolean {
  if (to - from !== PROOF_BYTES) return false;
  const given = new Uint8Array(view.buffer, view.byteOffset + from, PROOF_BYTES);
  return timingSafeEqual(expected, given);
}
