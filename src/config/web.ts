/** `--web` and `--web-token`: where the live page is served, and to whom. */
import { Failure } from "../native/failure.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { isWhole } from "./number.ts";
import { readSecret } from "./secret.ts";

/** An address of this host and a port (0: any free one). */
export interface WebAddress {
  /** Without brackets: `127.0.0.1`, `::1`. */
  host: string;
  port: number;
  /** Who has it may look; null: everybody who can reach the address, which is on loopback then. */
  token: string | null;
}

const LOOPBACK = "127.0.0.1";
const FIX = 'Write it as [address:]port, for example "9400" or "[::1]:9400".';
const TOKEN = /^[\x21-\x7e]+$/;
const LEAST_TOKEN = 16;
const MOST_TOKEN = 1024;

/** Whether nobody but programs on this host reaches an address. */
export function isLoopback(host: string): boolean {
  return host === "::1" || host.startsWith("127.");
}

/** `--web [ADDRESS:]PORT` with the file of `--web-token`, null without one. Throws a Failure (exit code 2). */
export function parseWeb(text: string, tokenFile: string | null): WebAddress {
  const refuse = (cause: string, fix = FIX) => new Failure(`Cannot use --web "${text}": ${cause}`, fix, 2);
  const parts = /^(?:(?<host>\[[^[\]]*\]|[^[\]:]*):)?(?<port>[^:[\]]*)$/.exec(text)?.groups;
  if (!parts) throw refuse("it is not [address:]port (IPv6 addresses go in brackets)");
  if (!isWhole(parts.port!, { first: 0, last: 65535 })) {
    throw refuse(`"${parts.port}" is not a port from 0 to 65535`);
  }
  const host = hostOf(parts.host ?? LOOPBACK);
  if (host === null) throw refuse(`"${parts.host}" is not an address`);
  const token = tokenFile === null ? null : readToken(tokenFile);
  if (token === null && !isLoopback(host)) {
    throw refuse(
      "whoever reaches this address could read what clients ask and are answered",
      "Add --web-token FILE, a file with a secret that readers give; or leave the address out, to serve this host only.",
    );
  }
  return { host, port: Number(parts.port), token };
}

function hostOf(text: string): string | null {
  if (text === "localhost") return LOOPBACK;
  const isBracketed = text.startsWith("[");
  const address = parseAddress(isBracketed ? text.slice(1, -1) : text);
  if (!address || isBracketed !== text.includes(":")) return null;
  return formatAddress(address.bytes);
}

/** The secret in a file that only its owner may read. */
function readToken(path: string): string {
  const token = readSecret("--web-token", path, false)!.trim();
  const refuse = (cause: string) =>
    new Failure(
      `Cannot use --web-token "${path}": ${cause}`,
      `Make one: (umask 077; openssl rand -hex 32 >${path})`,
      2,
    );
  if (token.length < LEAST_TOKEN) throw refuse(`a token has at least ${LEAST_TOKEN} characters`);
  if (token.length > MOST_TOKEN) throw refuse(`a token has at most ${MOST_TOKEN} characters`);
  if (!TOKEN.test(token)) throw refuse("a token is one word of printable ASCII characters");
  return token;
}
