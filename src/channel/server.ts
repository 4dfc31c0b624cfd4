/** Accepts connections: bounds the unfinished handshakes, limits failures, counts the reasons for which channels ended. */
import { CLOSE_CODES, type CloseCode } from "./close.ts";
import { CompatPeer } from "./compat-peer.ts";
import type { Peer, PeerHandlers } from "./contract.ts";
import { FailedHandshakes } from "./failed-handshakes.ts";
import { ChannelPeer, type PeerOptions } from "./peer.ts";

export interface ServerOptions {
  /** Null: without authentication, see `insecure`. */
  key: Uint8Array | null;
  /** Without a key: serves copies that have none, and takes no registrations of them; else it serves none. */
  insecure?: boolean;
  /** Whether it serves who connects from an address (4 or 16 bytes): for tcpcopy 1.x, which has no key; absent: all. */
  serves?: (address: Uint8Array) => boolean;
  /**
   * Speaks the protocol of tcpcopy 1.x instead of ours: `combined` as it is built by default, `separate` for one built
   * with --disable-combined. There is no key in it.
   */
  compat?: "combined" | "separate" | null;
  /** Bytes of responses that may wait for a slow reader, 262,144 and more; 4 MiB by default. */
  outgoingBytes?: number;
  /** Most handshakes that are unfinished at a time: the oldest is closed for a new one; 64 by default. */
  unfinished?: number;
  /** 32 bytes, new with each call; random by default. */
  nonce?: () => Uint8Array;
}

/** Any peer here, while its handshake is not done. */
type Unfinished = ChannelPeer | CompatPeer;

export class ChannelServer {
  /** Channels that ended, by reason. */
  readonly closed: Record<CloseCode, number>;
  readonly #options: Required<Pick<ServerOptions, "unfinished">> & { compat: "combined" | "separate" | null };
  readonly #peerOptions: PeerOptions;
  #unfinished: Unfinished[] = [];

  constructor(options: ServerOptions) {
    const { key, insecure = false, compat = null, outgoingBytes = 4 << 20, unfinished = 64, nonce } = options;
    this.#options = { compat, unfinished };
    this.#peerOptions = {
      key,
      insecure,
      serves: options.serves ?? (() => true),
      outgoingBytes,
      failedHandshakes: new FailedHandshakes(),
      ...(nonce ? { nonce } : {}),
    };
    this.closed = Object.fromEntries(CLOSE_CODES.map((code) => [code, 0])) as Record<CloseCode, number>;
  }

  /** Handshakes that are not finished. */
  get unfinished(): number {
    this.#forgetFinished();
    return this.#unfinished.length;
  }

  /** The end for a connection just accepted from `address` (4 or 16 bytes). May close the oldest unfinished one. */
  accept(address: Uint8Array, handlers: PeerHandlers, now: number): Peer {
    const { compat, unfinished } = this.#options;
    this.#forgetFinished();
    while (this.#unfinished.length >= unfinished) this.#unfinished.shift()!.crowdOut();
    const counting: PeerHandlers = {
      admit: (copy) => handlers.admit(copy),
      onRegister: (flows, at, count) => handlers.onRegister(flows, at, count),
      onRegisterDatagrams: (flows, at, count) => handlers.onRegisterDatagrams?.(flows, at, count),
      onRanges: (ranges) => handlers.onRanges(ranges),
      onAsk: (question) => handlers.onAsk(question),
      onClosed: (code, text) => {
        this.closed[code]++;
        handlers.onClosed(code, text);
      },
    };
    const peer = compat
      ? new CompatPeer(this.#peerOptions, compat === "combined", address, counting, now)
      : new ChannelPeer(this.#peerOptions, address, counting, now);
    this.#unfinished.push(peer);
    return peer;
  }

  #forgetFinished(): void {
    this.#unfinished = this.#unfinished.filter((peer) => peer.state === "handshake");
  }
}
