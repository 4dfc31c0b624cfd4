/** What a target has allowed to be sent on a connection, told by its own segments only. */
import { distance } from "../../src/wire/tcp.ts";
import type { Segment } from "./packets.ts";

export class PeerWindow {
  /** Oldest sequence number that the target has not acknowledged. */
  private una: number;
  /** Behind the last byte that the target takes. */
  private edge: number;
  /** Behind the last byte that was ever sent. */
  private sent: number;
  private scale = 0;
  private isOpen = false;
  private isKnown = true;

  /** `syn`: our SYN. */
  constructor(private readonly syn: Segment) {
    this.una = this.edge = this.sent = (syn.seq + 1) >>> 0;
  }

  /** The target's answer to the SYN; `scale` as in its options. */
  open(window: number, scale: number): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.edge = (this.una + window) >>> 0;
    if (this.syn.options.windowScale >= 0) this.scale = scale;
  }

  /** A later segment of the target, in order. */
  update(ack: number, window: number): void {
    if (distance(ack, this.una) < 0) return;
    this.una = ack;
    this.edge = (ack + (window << this.scale)) >>> 0;
  }

  /** A segment that the engine may believe or not: nothing is known from here on. */
  doubt(): void {
    this.isKnown = false;
  }

  /**
   * Takes what the engine sends. Payload ends at the edge; but for one byte that probes a closed window (persist.ts), and
   * the first segment that is not acknowledged, sent before the window shrank and sent again (Linux's tcp_retransmit_skb).
   */
  take({ seq, payload, flags }: Segment, mss: number): void {
    const end = (seq + payload.length) >>> 0;
    const isAgain = distance(end, this.sent) <= 0;
    const isFirst = seq === this.una;
    if (!isAgain) this.sent = end;
    if (!this.isKnown || payload.length === 0 || distance(end, this.edge) <= 0) return;
    if (isFirst && (payload.length === 1 || (isAgain && payload.length <= mss))) return;
    throw new Error(
      `Bytes ${seq} to ${end} (flags ${flags}) are beyond the target's window, ${this.una} to ${this.edge}`,
    );
  }
}
