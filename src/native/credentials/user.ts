/** Users and groups of the host, and becoming one of them with some capabilities (credentials(7), execve(2)). */
import { dlopen, FFIType, type Pointer, read } from "bun:ffi";
import { address, errno, libc, strerror } from "../libc.ts";
import { passOn } from "./credentials.ts";

const lib = dlopen("libc.so.6", {
  getpwnam: { args: [FFIType.ptr], returns: FFIType.ptr },
  getpwuid: { args: [FFIType.u32], returns: FFIType.ptr },
  getgrnam: { args: [FFIType.ptr], returns: FFIType.ptr },
  setgroups: { args: [FFIType.u64_fast, FFIType.ptr], returns: FFIType.i32 },
  setresgid: { args: [FFIType.u32, FFIType.u32, FFIType.u32], returns: FFIType.i32 },
  setresuid: { args: [FFIType.u32, FFIType.u32, FFIType.u32], returns: FFIType.i32 },
  execve: { args: [FFIType.ptr, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
}).symbols;

const PR_SET_KEEPCAPS = 8;
/** Offsets in struct passwd and struct group. */
const PW_UID = 16;
const PW_GID = 20;
const GR_GID = 16;

export interface User {
  uid: number;
  gid: number;
}

function zeroTerminated(text: string): Uint8Array {
  return new Uint8Array(new TextEncoder().encode(`${text}\0`).buffer);
}

/** The user with this name or number, with its group; null if the host knows none. */
export function findUser(name: string): User | null {
  const isNumber = /^\d+$/.test(name);
  const text = zeroTerminated(name);
  const entry = isNumber ? lib.getpwuid(Number(name)) : lib.getpwnam(address(text) as Pointer);
  if (!entry) return null;
  return { uid: read.u32(entry, PW_UID), gid: read.u32(entry, PW_GID) };
}

/** The number of the group with this name or number; null if the host knows no such name. */
export function findGroup(name: string): number | null {
  if (/^\d+$/.test(name)) return Number(name);
  const text = zeroTerminated(name);
  const entry = lib.getgrnam(address(text) as Pointer);
  return entry ? read.u32(entry, GR_GID) : null;
}

/** A zero-terminated array of pointers to strings, which lives as long as what is returned. */
function pointers(texts: readonly string[]): { array: BigUint64Array; strings: Uint8Array[] } {
  const strings = texts.map(zeroTerminated);
  const array = new BigUint64Array(new ArrayBuffer((texts.length + 1) * 8));
  for (const [index, string] of strings.entries()) array[index] = BigInt(address(string));
  return { array, strings };
}

/**
 * As root: starts a program in place of this one, with the same process id and standard streams, as a user with its group alone
 * and with these capabilities as ambient ones. All its threads begin that way. Returns only if it cannot, with the cause;
 * this process is then of no more use.
 */
export function startAs(
  { uid, gid }: User,
  capabilities: readonly number[],
  command: readonly string[],
  argv0: string,
  environment: readonly string[],
): string {
  const words = pointers([argv0, ...command.slice(1)]);
  const variables = pointers(environment);
  const path = zeroTerminated(command[0]!);
  const groups = new Uint32Array(new ArrayBuffer(4)).fill(gid);
  libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  const isUser =
    lib.setgroups(1, address(groups) as Pointer) === 0 &&
    lib.setresgid(gid, gid, gid) === 0 &&
    lib.setresuid(uid, uid, uid) === 0;
  if (!isUser) return strerror(errno());
  const code = passOn(capabilities);
  if (code !== 0) return strerror(code);
  lib.execve(address(path) as Pointer, address(words.array) as Pointer, address(variables.array) as Pointer);
  const cause = strerror(errno());
  // What the arrays point to has been needed up to here.
  return words.strings.length + variables.strings.length > 0 ? cause : "";
}
