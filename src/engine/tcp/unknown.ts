/** Segments of no connection (RFC 9293 section 3.10.7.1). */
import type { Packet } from "../../wire/packet.ts";
import { ACK, FIN, RST, SYN } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { emitReset } from "./emit.ts";

/** Answers a segment that belongs to none of our connections with a RST (RFC 9293 section 3.10.7.1). */
export function resetUnknown(c: Context, packet: Packet): void {
  const flags = packet.flags;
  if (flags & RST) return;
  if (flags & ACK) {
    emitReset(c, packet.index, c.address, 0, packet.destinationPort, packet.ack, 0, RST);
    return;
  }
  const end = packet.seq + packet.length + (flags & (SYN | FIN) ? 1 : 0);
  emitReset(c, packet.index, c.address, 0, packet.destinationPort, 0, end, RST | ACK);
}
