/** The authentication exchange of a login or COM_CHANGE_USER, until the server sends OK or ERR. */
import {
  CACHING_SHA2,
  ED25519,
  encryptedPassword,
  firstResponse,
  isSupported,
  NATIVE,
  SHA256,
} from "./auth.ts";
import { EOF, ERR, MORE_DATA, OK } from "./constants.ts";
import { Reader, text } from "./reader.ts";
import { Writer } from "./writer.ts";

/** caching_sha2_password: the server's answers to the first response, and the request for its public key. */
const FAST_OK = 3;
const FULL = 4;
const ASK_KEY = 2;
/** "-", the first byte of a public key in PEM format. */
const PEM = 0x2d;
/** Bytes of the challenge of client_ed25519. */
const NONCE_BYTES = 32;

/** What follows a packet of the server; `refused`: the server's error message, or our own. */
export type Step = { send: Uint8Array } | "wait" | "ok" | { refused: string; code: number };

export class Exchange {
  plugin: string;
  /** The server's last challenge. */
  scramble: Uint8Array;
  private readonly password: Uint8Array;

  /** `plugin`, `scramble`: of the greeting. `anyPassword`: the server does not check passwords (--skip-grant-tables). */
  constructor(
    plugin: string,
    scramble: Uint8Array,
    password: string,
    private readonly anyPassword: boolean,
  ) {
    this.plugin = isSupported(plugin) ? plugin : NATIVE;
    this.scramble = scramble;
    this.password = new TextEncoder().encode(password);
  }

  /** The authentication response that is part of the login. */
  first(): Uint8Array {
    if (this.anyPassword) return new Uint8Array(0);
    return firstResponse(this.plugin, this.password, this.scramble);
  }

  /** Takes a packet of the server. Throws Malformed. */
  take(bytes: Uint8Array, from: number, to: number, sequence: number): Step {
    const reader = new Reader(bytes, from, to);
    switch (reader.integer(1)) {
      case OK:
        return "ok";
      case ERR:
        return refusal(reader);
      case EOF:
        return this.switchTo(reader, sequence);
      case MORE_DATA:
        return this.more(reader, sequence);
      default:
        return { refused: "it sent an unknown packet during authentication", code: 0 };
    }
  }

  /** AuthSwitchRequest. Without a plugin's name it asks for the insecure authentication from before MySQL 4.1. */
  private switchTo(reader: Reader, sequence: number): Step {
    const plugin = reader.left === 0 ? "mysql_old_password" : text(reader.terminated());
    if (!isSupported(plugin)) {
      return { refused: `it requires the authentication plugin ${plugin}, unknown to xcopy`, code: 0 };
    }
    this.plugin = plugin;
    // The challenge of ed25519 is any 32 bytes, also with a 0 at the end; the others have a terminating 0.
    const scramble = reader.rest().slice(0, plugin === ED25519 ? NONCE_BYTES : undefined);
    this.scramble = plugin !== ED25519 && scramble.at(-1) === 0 ? scramble.slice(0, -1) : scramble;
    return { send: packet(this.first(), sequence) };
  }

  /** AuthMoreData: caching_sha2_password and sha256_password may ask for the password itself, encrypted. */
  private more(reader: Reader, sequence: number): Step {
    const data = reader.rest();
    if (this.plugin === CACHING_SHA2 && data.length === 1) {
      if (data[0] === FAST_OK) return "wait";
      if (data[0] === FULL) return { send: packet(Uint8Array.of(ASK_KEY), sequence) };
    }
    if ((this.plugin === CACHING_SHA2 || this.plugin === SHA256) && data[0] === PEM) {
      return { send: packet(encryptedPassword(this.password, this.scramble, text(data)), sequence) };
    }
    return { refused: `it sent a step of ${this.plugin} that xcopy does not know`, code: 0 };
  }
}

function packet(payload: Uint8Array, sequence: number): Uint8Array {
  return new Writer().put(payload).packet(sequence + 1);
}

/** Reads an ERR packet after its first byte. */
export function refusal(reader: Reader): { refused: string; code: number } {
  const code = reader.integer(2);
  let message = text(reader.rest());
  // "#" and five characters of SQLSTATE.
  if (message.startsWith("#")) message = message.slice(6);
  return { refused: message, code };
}
