/** Who may look: the names a server on loopback goes by, and the token. No input, no clock. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** Bytes of a header that is looked at. */
const MOST_HEADER = 4096;

/**
 * Whether a Host header names this host's loopback: a page of somebody else's site whose name was made to lead here (DNS
 * rebinding) sends that name. `host` is the address that is listened on.
 */
export function isOwnName(header: string | null, host: string): boolean {
  if (header === null || header.length > MOST_HEADER) return false;
  const name = /^(\[[0-9a-f:.]+\]|[^:]+)(:[0-9]+)?$/i.exec(header)?.[1]?.toLowerCase();
  if (name === undefined) return false;
  const bare = name.replace(/^\[|\]$/g, "");
  return bare === "localhost" || bare === host || bare === "::1" || /^127(\.[0-9]{1,3}){3}$/.test(bare);
}

/** Whether both are the same text; how long it takes says nothing about either. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}

/** The value of the cookie that stands for a token: who reads it does not have the token. */
export function cookieValue(token: string): string {
  return createHmac("sha256", token).update("xcopy web").digest("hex");
}

/** A cookie belongs to a host with all of its ports: each port has a name of its own. */
export function cookieName(port: number): string {
  return `xcopy-${port}`;
}

export interface Credentials {
  /** The header fields of these names. */
  authorization: string | null;
  cookie: string | null;
  /** The parameter `token`. */
  parameter: string | null;
}

/** How a request shows that it has the token: by a header, a cookie, or in its address, from where it goes into a cookie. */
export function grantOf(
  { authorization, cookie, parameter }: Credentials,
  token: string,
  port: number,
): "header" | "cookie" | "parameter" | null {
  const fits = (text: string | null | undefined) => (text?.length ?? 0) <= MOST_HEADER;
  if (!fits(authorization) || !fits(cookie) || !fits(parameter)) return null;
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
  if (bearer !== undefined && isSame(bearer, token)) return "header";
  for (const part of (cookie ?? "").split(";")) {
    const [name, value] = part.trim().split("=", 2);
    if (name === cookieName(port) && value !== undefined && isSame(value, cookieValue(token)))
      return "cookie";
  }
  return parameter !== null && isSame(parameter, token) ? "parameter" : null;
}
