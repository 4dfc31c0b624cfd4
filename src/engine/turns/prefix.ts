/** The PROXY protocol header at the start of a connection, before the client's bytes. */
import { MAX_PROXY_HEADER, writeProxyHeader } from "../../wire/proxy-protocol.ts";
import type { Context } from "../sessions/context.ts";
import { ACK_NUMBER, MARKS, NEXT, PREFIX, PUSH, SEGMENT } from "../sessions/segments.ts";
import {
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  CURSOR,
  HEAD,
  NONE,
  ONLINE_ADDRESS,
  QUEUED,
  ROW,
  TAIL,
} from "../sessions/table.ts";
import { nextToSend, releaseHead } from "./stream.ts";

const proxyHeader = new Uint8Array(MAX_PROXY_HEADER);

/** Puts a PROXY protocol header before the first byte of a new connection; false if there is no memory for it. */
export function putProxyHeader(c: Context, s: number, version: 1 | 2): boolean {
  const w = c.words;
  const row = s * ROW;
  const ports = w[row + CLIENT_PORTS]!;
  const length = writeProxyHeader(
    proxyHeader,
    version,
    w,
    row + CLIENT_ADDRESS,
    row + ONLINE_ADDRESS,
    ports >>> 16,
    ports & 0xffff,
  );
  const cursor = w[row + CURSOR]!;
  const first = (nextToSend(c, s) - length) | 0;
  const prefix = c.segments.store(proxyHeader, 0, length, first, PREFIX | PUSH);
  if (prefix === NONE) return false;
  if (cursor !== NONE) {
    c.segments.words[prefix * SEGMENT + ACK_NUMBER] = c.segments.words[cursor * SEGMENT + ACK_NUMBER]!;
  }
  c.segments.words[prefix * SEGMENT + NEXT] = w[row + HEAD]!;
  if (w[row + HEAD] === NONE) w[row + TAIL] = prefix;
  w[row + HEAD] = prefix;
  w[row + CURSOR] = prefix;
  w[row + QUEUED]! += length;
  return true;
}

/** Removes the bytes of our own at the start of the queue: they belong to the connection that is gone. */
export function removePrefix(c: Context, s: number): void {
  for (let head = c.words[s * ROW + HEAD]!; head !== NONE; head = c.words[s * ROW + HEAD]!) {
    if (!(c.segments.words[head * SEGMENT + MARKS]! & PREFIX)) return;
    releaseHead(c, s);
  }
}
