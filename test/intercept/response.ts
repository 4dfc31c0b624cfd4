/** Responses as a source hands them over. */
import { UNKNOWN_INDEX } from "../../src/capture/record-index.ts";
import { OPENING, REGISTRATION_BYTES, writeProof } from "../../src/channel/registration.ts";
import { parseAddress } from "../../src/config/address.ts";
import { locate } from "../../src/intercept/data-plane/nfqueue.ts";
import { Packet } from "../../src/wire/packet.ts";
import { ACK, SYN } from "../../src/wire/tcp.ts";
import { IPPROTO_UDP } from "../../src/wire/udp.ts";
import { makeSegment } from "../support/segment.ts";

export interface Flow {
  client: string;
  clientPort: number;
  server: string;
  serverPort: number;
}

/**
 * A packet from the server to the client, a SYN-ACK where `flags` do not say otherwise; of its payload `captured` bytes are
 * there.
 */
export function responseOf(
  flow: Flow,
  flags = SYN | ACK,
  index = UNKNOWN_INDEX,
  payload = "",
  captured = payload.length,
  { seq = 1, ack = 2 } = {},
): Packet {
  const bytes = makeSegment({
    source: parseAddress(flow.server)!.bytes,
    destination: parseAddress(flow.client)!.bytes,
    sourcePort: flow.serverPort,
    destinationPort: flow.clientPort,
    seq,
    ack,
    flags,
    payload: Buffer.from(payload),
  });
  const packet = new Packet(bytes);
  const there = bytes.length - payload.length + captured;
  if (!locate(packet, 0, there, bytes.length)) throw new Error("no TCP");
  packet.index = index;
  return packet;
}

/** The same as a UDP datagram. */
export function datagramOf(flow: Flow): Packet {
  const segment = responseOf(flow);
  const bytes = segment.bytes.slice();
  bytes[segment.family === 4 ? 9 : 6] = IPPROTO_UDP;
  const packet = new Packet(bytes);
  if (!locate(packet, 0, bytes.length, bytes.length)) throw new Error("no UDP");
  packet.index = UNKNOWN_INDEX;
  return packet;
}

/** The flow as the 36 bytes of a key. */
export function flowBytes({ client, clientPort, server, serverPort }: Flow): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(36));
  bytes.set(parseAddress(client)!.bytes, 0);
  bytes.set(parseAddress(server)!.bytes, 16);
  new DataView(bytes.buffer).setUint16(32, clientPort);
  new DataView(bytes.buffer).setUint16(34, serverPort);
  return bytes;
}

/** A row of REGISTER for it: as opening with the SYN that `responseOf` answers, if nothing else is said. */
export function rowOf(flow: Flow, state = OPENING, una = 2, max = una, rcv = 0): DataView {
  const row = new Uint8Array(new ArrayBuffer(REGISTRATION_BYTES));
  row.set(flowBytes(flow));
  const view = new DataView(row.buffer);
  writeProof(view, 0, una, max, rcv, state);
  return view;
}
