/**
 * The handshake of xcopy's own protocol. The copy sends COPY_HELLO, the intercept INTERCEPT_HELLO; all that follows is in sealed
 * records (seal.ts). The copy's first record has a PROOF in it, the intercept's a WELCOME.
 *
 * The keys of both directions come by HKDF-SHA-256 (RFC 5869) from an X25519 exchange (RFC 7748) of keys that are new with every
 * connection, then from the shared key, with the hash of both hellos as salt. Who can open a record has therefore
 * seen the same hellos, versions and features included, and has the shared key; who steals it later can open nothing that was
 * recorded. Where neither side has a key nobody is authenticated: only who reads along without a part in it learns nothing.
 */
import {
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from "node:crypto";
import { COPY_HELLO, FRAME_HEADER, INTERCEPT_HELLO } from "./frame.ts";
import { RECORD_KEY_BYTES } from "./seal.ts";

/**
 * Version of the protocol: raised for changes that the other side could not understand; optional parts are features. Version 1
 * proved the key, and encrypted nothing.
 */
export const PROTOCOL_VERSION = 2;
/** Features, offered by each side: it has a key; the copy reads the payload of responses. */
export const HAS_KEY = 1;
export const READS_PAYLOAD = 2;

export const NONCE_BYTES = 32;
export const INSTANCE_BYTES = 8;
const PUBLIC_BYTES = 32;

/** Body: magic 6, version 2, features 4, prefix 4, instance 8, nonce 32, public key 32; later versions may append to it. */
const MAGIC = new TextEncoder().encode("xcopy\0");
const VERSION_AT = 6;
const FEATURES_AT = 8;
const PREFIX_AT = 12;
const INSTANCE_AT = 16;
const NONCE_AT = 24;
const PUBLIC_AT = NONCE_AT + NONCE_BYTES;
export const HELLO_BYTES = PUBLIC_AT + PUBLIC_BYTES;

/** What is before the bytes of an X25519 public key in its DER form (RFC 8410). */
const PUBLIC_PREFIX = Buffer.from("302a300506032b656e032100", "hex");

export interface Hello {
  version: number;
  features: number;
  /**
   * How much the copy reads of the payload of each segment (`prefixWord` of src/wire/prefix.ts); 0: all, as every copy does that has
   * no such field. An intercept that does not know it sends all.
   */
  prefix: number;
  /** The copy's random name: the same as long as its process lives. All zero from an intercept. */
  instance: Uint8Array;
  /** Its X25519 key of this connection; empty in a hello of a version that has none. */
  publicKey: Uint8Array;
}

export type Side = "copy" | "intercept";

/** A key pair for one connection. */
export interface Ephemeral {
  publicKey: Uint8Array;
  privateKey: KeyObject;
}

export function makeEphemeral(): Ephemeral {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const der = publicKey.export({ format: "der", type: "spki" });
  return { publicKey: Uint8Array.from(der.subarray(PUBLIC_PREFIX.length)), privateKey };
}

/** A whole frame. `prefix`: see Hello; `instance`: 8 bytes, `nonce`: 32 random bytes that were never used before, `publicKey`: 32 bytes. */
export function makeHello(
  side: Side,
  features: number,
  instance: Uint8Array,
  nonce: Uint8Array,
  publicKey: Uint8Array,
  version = PROTOCOL_VERSION,
  prefix = 0,
): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER + HELLO_BYTES);
  const view = new DataView(frame.buffer);
  view.setUint32(0, HELLO_BYTES);
  frame[4] = side === "copy" ? COPY_HELLO : INTERCEPT_HELLO;
  frame.set(MAGIC, FRAME_HEADER);
  view.setUint16(FRAME_HEADER + VERSION_AT, version);
  view.setUint32(FRAME_HEADER + FEATURES_AT, features);
  view.setUint32(FRAME_HEADER + PREFIX_AT, prefix);
  frame.set(instance, FRAME_HEADER + INSTANCE_AT);
  frame.set(nonce, FRAME_HEADER + NONCE_AT);
  frame.set(publicKey, FRAME_HEADER + PUBLIC_AT);
  return frame;
}

/** Reads the body of a hello of any version; null if it is none. All but the public key has the same place in all versions. */
export function parseHello(view: DataView, from: number, to: number): Hello | null {
  if (to - from < PUBLIC_AT) return null;
  if (!MAGIC.every((byte, index) => view.getUint8(from + index) === byte)) return null;
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const version = view.getUint16(from + VERSION_AT);
  if (version === PROTOCOL_VERSION && to - from < HELLO_BYTES) return null;
  return {
    version,
    features: view.getUint32(from + FEATURES_AT),
    prefix: view.getUint32(from + PREFIX_AT),
    instance: bytes.slice(from + INSTANCE_AT, from + INSTANCE_AT + INSTANCE_BYTES),
    publicKey: bytes.slice(from + PUBLIC_AT, Math.min(to, from + HELLO_BYTES)),
  };
}

/**
 * The keys of the records that each side sends. `key`: the shared key, null where neither side has one; `publicKey`: the other
 * side's; the hellos are whole frames. Null if that is no public key, or one with which every secret is the same (RFC 7748, 6.1).
 */
export function deriveKeys(
  key: Uint8Array | null,
  { privateKey }: Ephemeral,
  publicKey: Uint8Array,
  copyHello: Uint8Array,
  interceptHello: Uint8Array,
): Record<Side, Uint8Array> | null {
  const secret = exchange(privateKey, publicKey);
  if (secret === null) return null;
  const material = key ? Buffer.concat([secret, key]) : secret;
  const hellos = createHash("sha256").update(copyHello).update(interceptHello).digest();
  const derive = (side: Side) =>
    new Uint8Array(
      hkdfSync("sha256", material, hellos, `xcopy channel: sent by the ${side}`, RECORD_KEY_BYTES),
    );
  return { copy: derive("copy"), intercept: derive("intercept") };
}

function exchange(privateKey: KeyObject, publicKey: Uint8Array): Uint8Array | null {
  try {
    const der = Buffer.concat([PUBLIC_PREFIX, publicKey]);
    return diffieHellman({
      privateKey,
      publicKey: createPublicKey({ key: der, format: "der", type: "spki" }),
    });
  } catch {
    return null;
  }
}
