/**
 * Follows production's answers to the commands of a session, packet by packet, from the OK of its login on, to know which packet
 * answers a COM_CHANGE_USER. That is known as long as the headers of all packets were captured: large results end it, and whatever
 * else leaves a doubt, as the client may be somebody who wants it.
 */
import { Answer } from "./packets/answer.ts";
import { type Algorithm, algorithmOf, Inflater } from "./packets/compression.ts";
import {
  CLIENT_DEPRECATE_EOF,
  CLIENT_OPTIONAL_METADATA,
  COM_CHANGE_USER,
  COM_CREATE_DB,
  COM_DROP_DB,
  COM_FIELD_LIST,
  COM_INIT_DB,
  COM_PING,
  COM_QUERY,
  COM_RESET_CONNECTION,
  COM_SET_OPTION,
  COM_STATISTICS,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_EXECUTE,
  COM_STMT_FETCH,
  COM_STMT_PREPARE,
  COM_STMT_RESET,
  ERR,
  hasNoAnswer,
  MARIADB_CACHE_METADATA,
  OK,
  PROGRESS,
} from "./packets/constants.ts";
import type { Greeting } from "./packets/greeting.ts";
import type { Login } from "./packets/login.ts";
import { PacketStream } from "./packets/packets.ts";
import { Malformed } from "./packets/reader.ts";

/** Payload bytes of each packet that are read. */
const MOST_READ = 64;
/** Most commands that wait for their answers, and packets that came before the record of their command. */
const MOST_WAITING = 64;

/** Commands whose answers are known to end where `Answer` says. */
const FOLLOWED = new Set([
  COM_CHANGE_USER,
  COM_CREATE_DB,
  COM_DROP_DB,
  COM_FIELD_LIST,
  COM_INIT_DB,
  COM_PING,
  COM_QUERY,
  COM_RESET_CONNECTION,
  COM_SET_OPTION,
  COM_STATISTICS,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_EXECUTE,
  COM_STMT_FETCH,
  COM_STMT_PREPARE,
  COM_STMT_RESET,
]);

interface Waiting {
  command: number;
  slot: number;
  user: string;
}

interface Packet {
  bytes: Uint8Array;
  length: number;
  sequence: number;
}

export class OnlineAnswers {
  private readonly answer = new Answer();
  private readonly waiting: Waiting[] = [];
  /** Packets of answers to commands that were not read yet: each side's records come from rings of their own. */
  private readonly early: Packet[] = [];
  private hasEofs = true;
  private cachesMetadata = false;
  private inflater: Inflater | null = null;
  private isLost = false;
  private readonly packets = new PacketStream(MOST_READ, (bytes, from, to, length, sequence) =>
    this.takePacket(bytes, from, to, length, sequence),
  );

  /** `onChange`: production has answered the COM_CHANGE_USER that was expected with `slot` and `user`. */
  constructor(private readonly onChange: (slot: number, user: string, isAdmitted: boolean) => void) {}

  /** The login has ended; false if the answers cannot be followed. */
  begin(login: Login, greeting: Greeting): boolean {
    const both = login.capabilities & greeting.capabilities;
    this.hasEofs = !(both & CLIENT_DEPRECATE_EOF);
    this.cachesMetadata = (login.mariadb & greeting.mariadb & MARIADB_CACHE_METADATA) !== 0;
    const algorithm: Algorithm | null = algorithmOf(both);
    this.inflater = algorithm && new Inflater(algorithm);
    return !(both & CLIENT_OPTIONAL_METADATA) && !this.isLost;
  }

  /** The client has sent a command, perhaps before `begin`. `slot`, `user`: of COM_CHANGE_USER. */
  expect(command: number, slot = 0, user = ""): void {
    if (hasNoAnswer(command)) return;
    if (this.waiting.length === MOST_WAITING || !FOLLOWED.has(command)) this.isLost = true;
    else this.waiting.push({ command, slot, user });
    if (this.early.length === 0) return;
    for (const { bytes, length, sequence } of this.early.splice(0)) {
      this.takePacket(bytes, 0, bytes.length, length, sequence);
    }
  }

  /** Takes the next bytes of the server; false if the answers cannot be followed any more. */
  take(bytes: Uint8Array, from: number, to: number, missing: number): boolean {
    if (this.isLost) return false;
    try {
      if (!this.inflater) {
        this.packets.take(bytes, from, to);
        return this.packets.pass(missing) && !this.isLost;
      }
      this.inflater.take(bytes, from, to, (part) => this.packets.take(part, 0, part.length));
      return missing === 0 && !this.isLost;
    } catch (error) {
      if (error instanceof Malformed) return false;
      throw error;
    }
  }

  private takePacket(bytes: Uint8Array, from: number, to: number, length: number, sequence: number): void {
    if (this.isLost) return;
    const next = this.waiting[0];
    if (next === undefined) {
      if (this.early.length === MOST_WAITING) this.isLost = true;
      else this.early.push({ bytes: bytes.slice(from, to), length, sequence });
      return;
    }
    const first = length === 0 ? -1 : bytes[from]!;
    if (first === ERR && to - from >= 3 && (bytes[from + 1]! | (bytes[from + 2]! << 8)) === PROGRESS) return;
    if (next.command === COM_CHANGE_USER) {
      // Else a step of the exchange.
      if (first !== OK && first !== ERR) return;
      this.waiting.shift();
      this.onChange(next.slot, next.user, first === OK);
      return;
    }
    if (!this.answer.isOpen) {
      if (sequence !== 1) {
        this.isLost = true;
        return;
      }
      this.answer.begin(next.command);
    }
    const progress = this.answer.take(bytes, from, to, length, this.hasEofs, this.cachesMetadata);
    // A file may look like commands.
    if (progress === "data wanted") this.isLost = true;
    if (progress === "done") this.waiting.shift();
  }
}
