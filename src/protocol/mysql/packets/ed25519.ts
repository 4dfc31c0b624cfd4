/**
 * Ed25519 signatures (RFC 8032 section 5.1) with a key that is derived from a password of any length, as in MariaDB's plugin
 * client_ed25519; node:crypto accepts only seeds of 32 bytes.
 */
import { createHash } from "node:crypto";

const P = 2n ** 255n - 19n;
/** Order of the base point. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n));

/** Extended coordinates: X, Y, Z, T. */
type Point = readonly [bigint, bigint, bigint, bigint];

const ZERO: Point = [0n, 1n, 1n, 0n];
const BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202n;
const BASE_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960n;

function mod(value: bigint, by = P): bigint {
  const rest = value % by;
  return rest < 0n ? rest + by : rest;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % P;
    base = (base * base) % P;
  }
  return result;
}

function inverse(value: bigint): bigint {
  return power(mod(value), P - 2n);
}

/** RFC 8032 section 5.1.4. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * t1 * t2 * D);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

/** The base point, doubled 0 to 255 times: computed on first use. */
let doubled: Point[] | undefined;

function timesBase(scalar: bigint): Point {
  if (!doubled) {
    doubled = [[BASE_X, BASE_Y, 1n, mod(BASE_X * BASE_Y)]];
    for (let i = 1; i < 256; i++) doubled.push(add(doubled[i - 1]!, doubled[i - 1]!));
  }
  let sum = ZERO;
  for (let i = 0; scalar > 0n; i++, scalar >>= 1n) if (scalar & 1n) sum = add(sum, doubled[i]!);
  return sum;
}

function encode([x, y, z]: Point): Uint8Array {
  const inverted = inverse(z);
  const bytes = toBytes(mod(y * inverted));
  if (mod(x * inverted) & 1n) bytes[31]! |= 0x80;
  return bytes;
}

/** 32 bytes, little-endian. */
function toBytes(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let i = 0; i < 32; i++, value >>= 8n) bytes[i] = Number(value & 255n);
  return bytes;
}

function fromBytes(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

function sha512(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The signature (64 bytes) of `message`; `secret` is a seed, or a password. */
export function sign(secret: Uint8Array, message: Uint8Array): Uint8Array {
  const expanded = sha512(secret);
  const low = expanded.slice(0, 32);
  low[0]! &= 248;
  low[31] = (low[31]! & 63) | 64;
  const scalar = fromBytes(low);
  const key = encode(timesBase(scalar % L));
  const nonce = fromBytes(sha512(expanded.subarray(32), message)) % L;
  const point = encode(timesBase(nonce));
  const challenge = fromBytes(sha512(point, key, message)) % L;
  const signature = new Uint8Array(64);
  signature.set(point);
  signature.set(toBytes((nonce + challenge * scalar) % L), 32);
  return signature;
}
