/** The connections of copies: accepts them, reads, writes, and closes those that are over. */

import type { CloseCode } from "../../channel/close.ts";
import type { Peer, PeerHandlers } from "../../channel/contract.ts";
import type { ChannelServer } from "../../channel/server.ts";
import { accept, close, flush, isLater, receive } from "../../channel/socket.ts";
import { formatEndpoint } from "../../config/address.ts";
import { EPOLLOUT, type Epoll } from "../../native/epoll.ts";
import { EPOLLIN, strerror } from "../../native/libc.ts";
import type { Packet } from "../../wire/packet.ts";
import { WHOLE } from "../../wire/prefix.ts";
import type { Receiver } from "./copies.ts";

/** us: the longest time between two looks at the deadlines of all connections. */
const LONGEST_WAIT = 500_000;
/** Connections that are accepted in one go: there is other work. */
const ACCEPTS = 64;
/** us for which nothing is accepted, if no descriptor is free. */
const PAUSE = 100_000;
/** Bytes that tell the hello of tcpcopy 1.x from ours. */
const HELLO_START = 4;
/** Most bytes that are read from a connection in one go. */
const READ = 65536;

/** One connection. Its copy is known (`slot` >= 0) once the handshake is done. */
export class Connection implements Receiver {
  peer!: Peer;
  slot = -1;
  readsPayload = false;
  prefix = WHOLE;
  /** Whether something waits to be written that `flush` will write. */
  isDirty = false;
  waitsToWrite = false;
  hasSpoken = false;

  constructor(
    readonly fd: number,
    /** 4 or 16 bytes. */
    readonly address: Uint8Array,
    /** `10.0.0.1:41234`. */
    readonly name: string,
    private readonly dirty: Connection[],
  ) {}

  response(packet: Packet): boolean {
    this.touch();
    return this.peer.response(packet);
  }

  /** Something waits to be written. */
  touch(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.dirty.push(this);
  }
}

/** Handles the messages and the end of connections. */
export interface Host {
  handlersFor(connection: Connection): PeerHandlers;
  /** The connection is closed; it was a copy's if its slot says so. */
  onGone(connection: Connection, now: number): void;
}

export class Connections {
  accepted = 0;
  readonly #all = new Map<number, Connection>();
  readonly #dirty: Connection[] = [];
  readonly #buffer = new Uint8Array(new ArrayBuffer(READ));
  #due = 0;
  #isEnding = false;
  /** us; 0: connections are accepted. */
  #pausedUntil = 0;

  constructor(
    private readonly epoll: Epoll,
    private readonly listeners: readonly number[],
    private readonly server: ChannelServer,
    /** For tcpcopy 1.x; null: it is refused. */
    private readonly compatServer: ChannelServer | null,
    private readonly host: Host,
  ) {
    for (const fd of listeners) epoll.add(fd, EPOLLIN);
  }

  get count(): number {
    return this.#all.size;
  }

  get unfinished(): number {
    return this.server.unfinished + (this.compatServer?.unfinished ?? 0);
  }

  /** Connections that ended for this reason. */
  closed(code: CloseCode): number {
    return this.server.closed[code] + (this.compatServer?.closed[code] ?? 0);
  }

  /** Handles an event of a descriptor; false if that is neither a listener nor a connection here. */
  handle(fd: number, events: number, now: number): boolean {
    if (this.listeners.includes(fd)) {
      this.#accept(fd, now);
      return true;
    }
    const connection = this.#all.get(fd);
    if (!connection) return false;
    if (events & EPOLLOUT) this.#write(connection, now);
    if (events & ~EPOLLOUT && this.#all.get(fd) === connection) this.#read(connection, now);
    return true;
  }

  /** Writes what waits, as far as it goes without waiting. */
  flush(now: number): void {
    for (const connection of this.#dirty) {
      connection.isDirty = false;
      if (!connection.waitsToWrite && this.#all.has(connection.fd)) this.#write(connection, now);
    }
    this.#dirty.length = 0;
  }

  /** Lets time pass for all connections. `now`: us. */
  advance(now: number): void {
    if (now < this.#due) return;
    let wait = LONGEST_WAIT;
    if (this.#pausedUntil > 0) {
      if (now < this.#pausedUntil) wait = this.#pausedUntil - now;
      else {
        this.#pausedUntil = 0;
        for (const fd of this.listeners) this.epoll.add(fd, EPOLLIN);
      }
    }
    for (const connection of this.#all.values()) {
      connection.peer.advance(now);
      if (!connection.peer.outgoing.isEmpty) connection.touch();
      else if (connection.peer.state === "closed") this.#close(connection, now);
      wait = connection.peer.wait(now, wait);
    }
    this.#due = now + wait;
  }

  /** us until `advance` has something to do. */
  wait(now: number): number {
    return this.#due - now;
  }

  /** Ends the channel of every copy, and accepts no more; the copies then close their connections. */
  bye(text: string, now: number): void {
    this.#isEnding = true;
    for (const fd of this.listeners) this.epoll.remove(fd);
    for (const connection of [...this.#all.values()]) {
      connection.peer.bye(text);
      this.#write(connection, now);
    }
  }

  closeAll(now: number): void {
    for (const connection of [...this.#all.values()]) this.#close(connection, now);
  }

  #accept(listener: number, now: number): void {
    for (let count = 0; count < ACCEPTS; count++) {
      const socket = accept(listener);
      if (typeof socket === "number") {
        // No descriptor is free: connections stay in the backlog for now.
        if (!isLater(socket)) this.#pause(now);
        return;
      }
      this.accepted++;
      const { fd, address, port } = socket;
      if (!this.#watch(fd)) continue;
      const connection = new Connection(fd, address, formatEndpoint(address, port), this.#dirty);
      connection.peer = this.server.accept(address, this.host.handlersFor(connection), now);
      this.#all.set(fd, connection);
      // It has a deadline now, and may have displaced an older connection.
      this.#due = now;
    }
  }

  /** False, with the connection closed, if the kernel watches no more descriptors for this user. */
  #watch(fd: number): boolean {
    try {
      this.epoll.add(fd, EPOLLIN);
      return true;
    } catch {
      close(fd);
      return false;
    }
  }

  /** Accepts nothing for a while. */
  #pause(now: number): void {
    if (this.#pausedUntil > 0) return;
    for (const fd of this.listeners) this.epoll.remove(fd);
    this.#pausedUntil = now + PAUSE;
    this.#due = Math.min(this.#due, this.#pausedUntil);
  }

  #read(connection: Connection, now: number): void {
    const { fd } = connection;
    const length = receive(fd, this.#buffer, 0, READ);
    if (length > 0) {
      if (!connection.hasSpoken) this.#choosePeer(connection, length, now);
      const { peer } = connection;
      peer.feed(this.#buffer, 0, length, now);
      // It may be open now, and has to send PINGs then.
      this.#due = Math.min(this.#due, now + peer.wait(now, LONGEST_WAIT));
      this.#write(connection, now);
    } else if (!isLater(length)) {
      connection.peer.disconnected(length === 0 ? "" : strerror(-length));
      this.#close(connection, now);
    }
  }

  /** Chooses the protocol by the first bytes: the hello of tcpcopy 1.x begins with zeros, ours with its length. */
  #choosePeer(connection: Connection, length: number, now: number): void {
    connection.hasSpoken = true;
    const isZero = length >= HELLO_START && this.#buffer.subarray(0, HELLO_START).every((byte) => byte === 0);
    if (!this.compatServer || !isZero) return;
    connection.peer.bye("it speaks another protocol");
    connection.peer = this.compatServer.accept(connection.address, this.host.handlersFor(connection), now);
    this.#due = now;
  }

  #write(connection: Connection, now: number): void {
    const { fd, peer } = connection;
    const result = flush(fd, peer.outgoing);
    const waits = isLater(result);
    if (result < 0 && !waits) {
      peer.disconnected(strerror(-result));
      this.#close(connection, now);
      return;
    }
    if (waits !== connection.waitsToWrite) {
      connection.waitsToWrite = waits;
      this.epoll.change(fd, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    if (!waits && peer.state === "closed" && !this.#isEnding) this.#close(connection, now);
  }

  #close(connection: Connection, now: number): void {
    if (!this.#all.delete(connection.fd)) return;
    this.epoll.remove(connection.fd);
    close(connection.fd);
    this.host.onGone(connection, now);
  }
}
