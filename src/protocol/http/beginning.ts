/** Whether the first bytes of a client are the start of a request of HTTP/1, judged before all of its head has come. */
import { endOfToken, lineFeed, type RequestLine, readRequestLine } from "./head.ts";

const LF = 10;
const SPACE = 32;

/** The methods that the IANA registry of HTTP methods has, by what they begin with; all of their prefixes. */
const METHODS = (
  "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE " +
  "MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH QUERY REBIND REPORT SEARCH UNBIND " +
  "UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL PURGE NOTIFY SUBSCRIBE UNSUBSCRIBE M-SEARCH"
).split(" ");

const LINE: RequestLine = { method: 0, methodEnd: 0, target: 0, targetEnd: 0 };

/** Whether these bytes may be the start of a request, by the first 16 of them. */
export function looksLikeRequest(bytes: Uint8Array, from: number, to: number): boolean {
  const last = Math.min(to, from + 16);
  for (let at = from; at < last; at++) {
    const byte = bytes[at]!;
    if (byte === SPACE) return true;
    if ((byte < 0x21 && byte !== 13 && byte !== LF) || byte > 0x7e) return false;
  }
  return true;
}

/**
 * The same for the first bytes of a session that nobody called HTTP: by all of their first line. A protocol of text must not wait
 * for the end of a head that never comes.
 */
export function isSurelyRequest(bytes: Uint8Array, from: number, to: number): boolean {
  if (lineFeed(bytes, from, to) >= 0) return readRequestLine(bytes, from, to, LINE);
  const end = endOfToken(bytes, from, Math.min(to, from + 24));
  const method = String.fromCharCode(...bytes.subarray(from, end));
  if (end === to) return METHODS.some((one) => one.startsWith(method));
  if (bytes[end] !== SPACE || !METHODS.includes(method)) return false;
  // "/", "*", "http:" in any case; for CONNECT a name.
  return end + 1 === to || method === "CONNECT" || "/*hH".includes(String.fromCharCode(bytes[end + 1]!));
}
