/** The exchange that a login or COM_CHANGE_USER begins, until the server says OK or ERR. */
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

/** caching_sha2_password: what the server says to the first response, and how its public key is asked for. */
const FAST_OK = 3;
const FULL = 4;
const ASK_KEY = 2;
const PEM = 0x2d;
/** Of the challenge of client_ed25519. */
const NONCE_BYTES = 32;

/** What came of a packet: go on, or the end, with the server's words or ours. */
export type Step = { send: Uint8Array } | "wait" | "ok" | { refused: string; code: number };

export class Exchange {
  plugin: string;
  /** The server's challenge that was answered last. */
  scramble: Uint8Array;
  private readonly password: Uint8Array;

  /** `plugin`, `scramble`: of the greeting. `anyPassword`: the server does not look at it (--skip-grant-tables). */
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

  /** What goes with the login. */
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
        return { refused: "it wants something unknown", code: 0 };
    }
  }

  /** AuthSwitchRequest; without a plugin that of before MySQL 4.1, which is no protection. */
  private switchTo(reader: Reader, sequence: number): Step {
    const plugin = reader.left === 0 ? "mysql_old_password" : text(reader.terminated());
    if (!isSupported(plugin)) {
      return { refused: `it wants the authentication plugin ${plugin}, which xcopy does not have`, code: 0 };
    }
    this.plugin = plugin;
    // That of ed25519 is any 32 bytes, which may end with a 0; of the others a 0 is the end.
    const scramble = reader.rest().slice(0, plugin === ED25519 ? NONCE_BYTES : undefined);
    this.scramble = plugin !== ED25519 && scramble.at(-1) === 0 ? scramble.slice(0, -1) : scramble;
    return { send: packet(this.first(), sequence) };
  }

  /** AuthMoreData: of the plugins that cannot do without the password itself. */
  private more(reader: Reader, sequence: number): Step {
    const data = reader.rest();
    if (this.plugin === CACHING_SHA2 && data.length === 1) {
      if (data[0] === FAST_OK) return "wait";
      if (data[0] === FULL) return { send: packet(Uint8Array.of(ASK_KEY), sequence) };
    }
    if ((this.plugin === CACHING_SHA2 || this.plugin === SHA256) && data[0] === PEM) {
      return { send: packet(encryptedPassword(this.password, this.scramble, text(data)), sequence) };
    }
    return { refused: `${this.plugin} goes on in a way that xcopy does not know`, code: 0 };
  }
}

function packet(payload: Uint8Array, sequence: number): Uint8Array {
  return new Writer().put(payload).packet(sequence + 1);
}

/** An ERR packet, behind its first byte. */
export function refusal(reader: Reader): { refused: string; code: number } {
  const code = reader.integer(2);
  let message = text(reader.rest());
  // #, then five characters of SQLSTATE.
  if (message.startsWith("#")) message = message.slice(6);
  return { refused: message, code };
}
