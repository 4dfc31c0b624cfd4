/** One TCP connection to an intercept: connects, reconnects when it is lost, reads and writes without blocking. */
import { Backoff } from "../../channel/backoff.ts";
import { ChannelClient } from "../../channel/client.ts";
import type { CloseCode } from "../../channel/close.ts";
import { CompatClient } from "../../channel/compat-client.ts";
import type { Client } from "../../channel/contract.ts";
import type { Facts, Welcome } from "../../channel/messages.ts";
import { close, connect, connectResult, flush, isLater, receive } from "../../channel/socket.ts";
import { address, EPOLL_CTL_ADD, EPOLLIN, libc, POLLIN, POLLOUT, strerror } from "../../native/libc.ts";
import type { Packet } from "../../wire/packet.ts";
import type { ChannelConfig, InterceptConfig } from "./config.ts";

const READ_BYTES = 256 * 1024;
/** Reads in a row: other work is not kept waiting by an intercept that sends without end. */
const READS = 4;
/** us that connecting may take. */
const CONNECT_SPAN = 2_000_000;
/** us between two looks while it connects, or while bytes wait to be written. */
const CONNECT_LOOK = 5000;
/** Ids of `sync` questions begin here. */
const SYNC = 0x80000000;

export interface LinkHandlers {
  onWelcome(welcome: Welcome, link: InterceptLink): void;
  onResponse(packet: Packet): void;
  onFacts(facts: Facts): void;
  /** It could not be made, or is lost; it is tried again. `text`: why. `code`: why the channel ended, null if there was none. */
  onLost(text: string, code: CloseCode | null): void;
}

export class InterceptLink {
  readonly client: Client;
  /** Readable when something has come. */
  readonly epoll = libc.epoll_create1(0);
  private readonly backoff = new Backoff();
  private readonly bytes = new Uint8Array(new ArrayBuffer(READ_BYTES));
  /** us: when it was connected. */
  private connectedAt = 0;
  private fd = -1;
  private isConnected = false;
  private retryAt = 0;
  private deadline = 0;
  /** Questions of `sync` on this connection, and answers to them. */
  private asked = 0;
  private answered = 0;

  constructor(
    private readonly config: InterceptConfig,
    { key, compat, readsPayload, prefix }: ChannelConfig,
    instance: Uint8Array,
    private readonly handlers: LinkHandlers,
  ) {
    const { onResponse } = handlers;
    const clientHandlers = {
      onResponse,
      onFacts: (facts: Facts) => {
        if (facts.id >= SYNC) this.answered++;
        else handlers.onFacts(facts);
      },
      onWelcome: (welcome: Welcome) => {
        this.backoff.reset();
        handlers.onWelcome(welcome, this);
      },
      onClosed: (code: CloseCode, text: string) => handlers.onLost(text, code),
    };
    this.client = compat
      ? new CompatClient(clientHandlers)
      : new ChannelClient({ key, instance, readsPayload, prefix, handlers: clientHandlers });
  }

  /** Whether responses come and registrations go. */
  get isOpen(): boolean {
    return this.isConnected && this.client.state === "open";
  }

  /** Asks the intercept to say when it has read all that was registered here: see `isSynced`. */
  sync(): void {
    if (this.isOpen && this.client.ask({ id: SYNC + this.asked, what: "sync" })) this.asked++;
  }

  /** Whether every `sync` was answered; also true while the connection is not open. */
  get isSynced(): boolean {
    return !this.isOpen || this.asked === this.answered;
  }

  /** us since it was connected. */
  age(now: number): number {
    return now - this.connectedAt;
  }

  /** Does what can be done without waiting. `now`: us. */
  run(now: number): void {
    if (this.fd < 0) {
      if (now >= this.retryAt) this.begin(now);
      return;
    }
    if (!this.isConnected) this.finishConnecting(now);
    if (!this.isConnected) return;
    this.read(now);
    this.client.advance(now);
    this.flush();
    if (this.client.state === "closed") this.lose(now);
  }

  /** Writes what waits, as far as the socket takes it; an error is noticed by `run`. */
  flush(): void {
    if (this.isConnected && this.client.state !== "idle") flush(this.fd, this.client.outgoing);
  }

  /** us until `run` has something to do without being woken, at most `limit`. */
  wait(now: number, limit: number): number {
    if (this.fd < 0) return Math.min(limit, Math.max(0, this.retryAt - now));
    if (!this.isConnected || !this.client.outgoing.isEmpty) return Math.min(limit, CONNECT_LOOK);
    return this.client.wait(now, limit);
  }

  /** Closes it for good. */
  close(): void {
    if (this.fd >= 0) close(this.fd);
    this.fd = -1;
    libc.close(this.epoll);
  }

  private begin(now: number): void {
    const fd = connect(this.config);
    if (fd < 0) {
      this.handlers.onLost(strerror(-fd), null);
      this.retryAt = now + this.backoff.next(Math.random());
      return;
    }
    this.fd = fd;
    this.isConnected = false;
    this.deadline = now + CONNECT_SPAN;
    const event = new Uint32Array(new ArrayBuffer(16));
    event[0] = EPOLLIN;
    libc.epoll_ctl(this.epoll, EPOLL_CTL_ADD, fd, address(event));
  }

  private finishConnecting(now: number): void {
    if (!isWritable(this.fd)) {
      if (now >= this.deadline) this.fail("no response", now);
      return;
    }
    const result = connectResult(this.fd);
    if (result < 0) {
      this.fail(strerror(-result), now);
      return;
    }
    this.isConnected = true;
    this.connectedAt = now;
    this.asked = 0;
    this.answered = 0;
    this.client.begin(now);
  }

  private read(now: number): void {
    for (let i = 0; i < READS && this.client.state !== "closed"; i++) {
      const count = receive(this.fd, this.bytes, 0, READ_BYTES);
      if (count > 0) this.client.feed(this.bytes, 0, count, now);
      else if (count === 0) this.client.disconnected("");
      else if (isLater(count)) return;
      else this.client.disconnected(strerror(-count));
      if (count < READ_BYTES) return;
    }
  }

  private fail(text: string, now: number): void {
    this.handlers.onLost(text, null);
    this.lose(now);
  }

  private lose(now: number): void {
    close(this.fd);
    this.fd = -1;
    this.isConnected = false;
    this.retryAt = now + this.backoff.next(Math.random());
  }
}

/** Waits until one of the links has something to read, at most `ms`. */
export function waitForAny(links: readonly InterceptLink[], ms: number): void {
  const events = new Int32Array(new ArrayBuffer(8 * links.length));
  for (const [index, { epoll }] of links.entries()) events.set([epoll, POLLIN], 2 * index);
  libc.poll(address(events), links.length, ms);
}

const poll = new Int32Array(new ArrayBuffer(8));
const pollAt = address(poll);

/** Whether connecting has ended, in success or failure. */
function isWritable(fd: number): boolean {
  poll[0] = fd;
  poll[1] = POLLOUT;
  return libc.poll(pollAt, 1, 0) > 0;
}
