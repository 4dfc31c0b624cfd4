/**
 * A view of one captured IPv4 or IPv6 packet with TCP or UDP. Sequence numbers, flags and window are those of TCP.
 *
 * It points into memory that it does not own (a ring, a file buffer) and is reused: it is valid only during the call that
 * gets it. All header fields are read in network order and returned as unsigned numbers. `ip`, `tcp`, `payload` and `end`
 * are offsets into `bytes`.
 */
export class Packet {
  bytes: Uint8Array;
  view: DataView;
  /** Offset of the IP header. */
  ip = 0;
  /** Offset of the TCP or UDP header. */
  tcp = 0;
  /** Offset of the first payload byte. */
  payload = 0;
  /** Offset after the last captured byte. */
  end = 0;
  /** Payload bytes on the wire; more than `end - payload` if the capture cut the packet. */
  length = 0;
  /** Capture time, CLOCK_MONOTONIC, in us. */
  time = 0;
  /**
   * TCP request: us since the client acknowledged the response before, with nothing sent in between; -1 if not known.
   * UDP: payload bytes of each datagram if the packet holds several (GSO, GRO); -1 if it is one.
   */
  think = -1;
  /** Request: index of the service it matched. Response: index of the path it came back on. */
  index = 0;
  /** Index of the interface on which it was captured; 0 if not known. */
  ifindex = 0;
  /**
   * Whether the TCP or UDP checksum needs no look: NIC or kernel have verified it, or have put the packet together, or are to
   * finish it. See integrity.ts.
   */
  isVerified = false;
  /**
   * Whether a TCP request acknowledges much more, or less, than the client's last pure ACK: by more than 16 MiB, further than
   * windows reach. False if no pure ACK of it is known.
   */
  acksFar = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** 4 or 6. */
  get family(): number {
    return this.bytes[this.ip]! >> 4;
  }
  get sourcePort(): number {
    return this.view.getUint16(this.tcp);
  }
  get destinationPort(): number {
    return this.view.getUint16(this.tcp + 2);
  }
  get seq(): number {
    return this.view.getUint32(this.tcp + 4);
  }
  get ack(): number {
    return this.view.getUint32(this.tcp + 8);
  }
  /** Bytes of TCP header, options included. */
  get headerLength(): number {
    return (this.bytes[this.tcp + 12]! >> 4) * 4;
  }
  /** The flag byte: see FIN, SYN, RST, PSH, ACK, URG in `tcp.ts`. */
  get flags(): number {
    return this.bytes[this.tcp + 13]!;
  }
  /** Unscaled. */
  get window(): number {
    return this.view.getUint16(this.tcp + 14);
  }
}
