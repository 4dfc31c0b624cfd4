/**
 * Reads a netfilter queue: packets that a rule sends to NFQUEUE number N wait in the kernel until its reader gives a verdict
 * (linux/netfilter/nfnetlink_queue.h, net/netfilter/nfnetlink_queue.c), over netlink of family NETLINK_NETFILTER.
 *
 * `openQueue` opens the socket, in any thread. A `QueueSocket` reads packets and gives verdicts, without allocation per packet.
 */
import { Failure } from "./failure.ts";
import {
  AF_NETLINK,
  address,
  EAGAIN,
  EBUSY,
  EINTR,
  EINVAL,
  ENOBUFS,
  ENOMEM,
  EPERM,
  EPROTONOSUPPORT,
  errno,
  libc,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  sleepMicroseconds,
  strerror,
} from "./libc.ts";
import { Messages } from "./messages.ts";
import { holderOf, NETLINK_NETFILTER, readStatistics } from "./nfqueue-status.ts";

const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 0x01;
const NLM_F_ACK = 0x04;
const NFNL_SUBSYS_QUEUE = 3 << 8;
const NFQNL_MSG_PACKET = NFNL_SUBSYS_QUEUE | 0;
const NFQNL_MSG_CONFIG = NFNL_SUBSYS_QUEUE | 2;
const NFQNL_MSG_VERDICT_BATCH = NFNL_SUBSYS_QUEUE | 3;

const NFQA_CFG_CMD = 1;
const NFQA_CFG_PARAMS = 2;
const NFQA_CFG_QUEUE_MAXLEN = 3;
const NFQA_CFG_MASK = 4;
const NFQA_CFG_FLAGS = 5;
const NFQNL_CFG_CMD_BIND = 1;
const NFQNL_COPY_PACKET = 2;
const NFQA_CFG_F_FAIL_OPEN = 1;
const NFQA_CFG_F_GSO = 4;

const NFQA_PACKET_HDR = 1;
const NFQA_VERDICT_HDR = 2;
const NFQA_PAYLOAD = 10;
const NFQA_CAP_LEN = 13;

/** Bytes of struct nlmsghdr, of struct nfgenmsg behind it, and of an attribute's head. */
const HEADER = 16;
const GENERIC = 4;
const ATTRIBUTE = 4;
/** A verdict message: the headers, and one attribute of two words (verdict, packet id). */
const VERDICT = HEADER + GENERIC + ATTRIBUTE + 8;
/** The attribute with the copy range: struct nfqnl_msg_config_params, packed, and its padding. */
const PARAMETERS = ATTRIBUTE + 8;

export const DROP = 0;
export const ACCEPT = 1;

/** Copy range for headers: bytes of each packet that come to user space. The largest IPv4 and TCP headers, or those of IPv6. */
export const HEADERS = 192;
/** Copy range where payload is wanted: the most that an attribute of a message can hold (nfqnl_recv_config). */
export const WHOLE = 65531;
/** Packets that wait for a verdict at most: more than a second of a busy service. */
export const QUEUE_LENGTH = 16384;

/**
 * Most bytes that the kernel charges the socket for a waiting packet besides its payload: the message's buffer and its struct
 * sk_buff. With that much room the queue is full before the socket is. Only a queue full of the largest packets needs more than
 * LARGEST_BUFFER; packets that find no room are counted as `lost` (nfqueue-status.ts).
 */
const CHARGED = 2048;
const LARGEST_BUFFER = 1 << 28;
/** Bytes that the kernel may send about a packet besides its own: about 200 today. */
const MESSAGE_ROOM = 384;
/** Bytes reserved for a message. Pages that no message has reached yet use no memory. */
const SLOT = (WHOLE + MESSAGE_ROOM + 63) & ~63;
/** Most messages that `QueueSocket.receive` returns. */
export const BATCH = 64;
/** Most tries, 1 ms apart, to send a message while the kernel has no memory. */
const MOST_TRIES = 1000;

export interface QueueOptions {
  /** Most packets that wait for a verdict; the kernel drops further ones. */
  length?: number;
  /** Bytes of the receive buffer, before the kernel doubles them. Default: enough for `length` whole packets, but bounded. */
  receiveBuffer?: number;
}

/**
 * Makes this process the reader of netfilter queue `queue` (0 to 65535) of the calling thread's network namespace, and
 * returns the socket. Closing it gives up the queue, and the kernel drops the packets that wait. Packets come as headers
 * until `QueueSocket.setCopyRange` asks for more.
 *
 * Large packets are not split on their way into the queue (NFQA_CFG_F_GSO). A full queue drops, it does not fail open: else
 * a response to be caught would reach a client that never asked for it. A response to a real client that is lost is sent again.
 *
 * Throws a Failure: queue taken (3), not allowed (4), kernel without NFQUEUE (5).
 */
export function openQueue(queue: number, options: QueueOptions = {}): number {
  const { length = QUEUE_LENGTH } = options;
  const fd = Number(libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (fd < 0) throw queueFailure(queue, errno());
  try {
    const charged = length * (CHARGED + WHOLE);
    setReceiveBuffer(fd, options.receiveBuffer ?? Math.min(charged, LARGEST_BUFFER) / 2);
    const code = configure(fd, queue, length);
    if (code !== 0) throw queueFailure(queue, code);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

function setReceiveBuffer(fd: number, bytes: number): void {
  const value = new Int32Array(new ArrayBuffer(4));
  value[0] = bytes;
  // SO_RCVBUFFORCE may exceed net.core.rmem_max, but not in a user namespace, where queues can be read as well.
  if (libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, value, 4) !== 0)
    libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, value, 4);
}

/** Sends one message: bind, copy range, queue length, flags. Returns the errno of the kernel's answer, 0 on success. */
function configure(fd: number, queue: number, length: number): number {
  const message = new DataView(new ArrayBuffer(HEADER + GENERIC + PARAMETERS + 8 + 8 + 8 + 8));
  writeHeaders(message, 0, message.byteLength, NFQNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, queue);
  writeCopyRange(message, HEADER + GENERIC, HEADERS);
  let at = HEADER + GENERIC + PARAMETERS;
  const attribute = (type: number, bytes: number): number => {
    message.setUint16(at, ATTRIBUTE + bytes, true);
    message.setUint16(at + 2, type, true);
    const value = at + ATTRIBUTE;
    at = (value + bytes + 3) & ~3;
    return value;
  };
  message.setUint8(attribute(NFQA_CFG_CMD, 4), NFQNL_CFG_CMD_BIND);
  message.setUint32(attribute(NFQA_CFG_QUEUE_MAXLEN, 4), length);
  message.setUint32(attribute(NFQA_CFG_MASK, 4), NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN);
  message.setUint32(attribute(NFQA_CFG_FLAGS, 4), NFQA_CFG_F_GSO);
  const bytes = new Uint8Array(message.buffer);
  if (Number(libc.sendto(fd, bytes, bytes.length, 0, null, 0)) < 0) return errno();
  // The kernel has already answered; packets may come after the answer, never before it.
  const answer = new DataView(new ArrayBuffer(4096));
  const received = Number(libc.recv(fd, new Uint8Array(answer.buffer), answer.byteLength, 0));
  if (received < 0) return errno();
  if (received < HEADER + 4 || answer.getUint16(4, true) !== NLMSG_ERROR) return EINVAL;
  return -answer.getInt32(HEADER, true);
}

/** Writes the attribute with the copy range at `at`: `range` bytes of each packet, from its IP header on. */
function writeCopyRange(view: DataView, at: number, range: number): void {
  view.setUint16(at, ATTRIBUTE + 5, true);
  view.setUint16(at + 2, NFQA_CFG_PARAMS, true);
  view.setUint32(at + ATTRIBUTE, range);
  view.setUint8(at + ATTRIBUTE + 4, NFQNL_COPY_PACKET);
}

function writeHeaders(
  view: DataView,
  at: number,
  length: number,
  type: number,
  flags: number,
  queue: number,
): void {
  view.setUint32(at, length, true);
  view.setUint16(at + 4, type, true);
  view.setUint16(at + 6, flags, true);
  view.setUint16(at + HEADER + 2, queue);
}

function queueFailure(queue: number, code: number): Failure {
  const what = `Cannot read netfilter queue "${queue}"`;
  // The kernel says EPERM both where another process reads the queue and where this one may not read any.
  if ((code === EPERM || code === EBUSY) && readStatistics(queue) !== null) {
    return new Failure(
      `${what}: ${holderOf(queue) ?? "another process"} reads it`,
      "Stop that one, or choose another queue: --queue 1",
      3,
    );
  }
  if (code === EPERM)
    return new Failure(`${what}: not allowed`, "Run it as root, or with the capability CAP_NET_ADMIN.", 4);
  // Without the queue subsystem nfnetlink answers EINVAL (nfnetlink_rcv_msg).
  if (code === EINVAL || code === EPROTONOSUPPORT)
    return new Failure(
      `${what}: the kernel has no NFQUEUE (module nfnetlink_queue)`,
      'Load it with "modprobe nfnetlink_queue", or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE.',
      5,
    );
  return new Failure(`${what}: ${strerror(code)}`, "See what the kernel says: dmesg", 1);
}

/**
 * Reads the packets of one queue and gives verdicts: `receive`, then for each message `read` and `verdict` in the order
 * of the messages, then `flush`.
 */
export class QueueSocket {
  /** All messages, with the packets in them. Always the same memory. */
  readonly bytes: Uint8Array;
  /** How often the receive buffer was full (ENOBUFS). `readStatistics` (nfqueue-status.ts) says how many packets were lost. */
  overruns = 0;
  /** Messages to the kernel that it refused: mostly verdicts that came too late, when an interface had gone down. */
  refused = 0;
  /** Of the message of the last `read`: id, offset of the IP header in `bytes`, bytes captured, bytes of the whole IP packet. */
  id = 0;
  ip = 0;
  captured = 0;
  length = 0;

  readonly #fd: number;
  readonly #queue: number;
  readonly #view: DataView;
  readonly #messages = new Messages(BATCH, 0);
  readonly #verdicts = new DataView(new ArrayBuffer(BATCH * VERDICT));
  readonly #verdictsAt: number;
  /** Verdict messages that are complete. The next one is for the current run of equal verdicts, unless `#run` is -1. */
  #finished = 0;
  #run = -1;
  #runId = 0;

  /** `fd` and `queue` as with `openQueue`; nothing else may read from `fd`. */
  constructor(fd: number, queue: number) {
    this.#fd = fd;
    this.#queue = queue;
    const memory = new ArrayBuffer(BATCH * SLOT);
    this.bytes = new Uint8Array(memory);
    this.#view = new DataView(memory);
    const at = address(this.bytes);
    this.#verdictsAt = address(this.#verdicts);
    for (let index = 0; index < BATCH; index++) {
      this.#messages.setOne(index, at + index * SLOT, SLOT);
      const verdict = index * VERDICT;
      writeHeaders(this.#verdicts, verdict, VERDICT, NFQNL_MSG_VERDICT_BATCH, NLM_F_REQUEST, queue);
      this.#verdicts.setUint16(verdict + HEADER + GENERIC, ATTRIBUTE + 8, true);
      this.#verdicts.setUint16(verdict + HEADER + GENERIC + 2, NFQA_VERDICT_HDR, true);
    }
  }

  /**
   * Sets how many bytes of each packet come to user space: HEADERS or WHOLE. Packets that wait already are not affected. Throws
   * if the kernel has no memory for the message for a second; if it refuses the message, `refused` counts that.
   */
  setCopyRange(range: number): void {
    const message = new DataView(new ArrayBuffer(HEADER + GENERIC + PARAMETERS));
    writeHeaders(message, 0, message.byteLength, NFQNL_MSG_CONFIG, NLM_F_REQUEST, this.#queue);
    writeCopyRange(message, HEADER + GENERIC, range);
    this.#send(address(message), message.byteLength, "change what comes of");
  }

  /** Receives up to `limit` messages (BATCH at most) without waiting; returns how many to `read`. Throws on errors. */
  receive(limit: number): number {
    for (;;) {
      const count = this.#messages.receive(this.#fd, Math.min(limit, BATCH));
      if (count >= 0) return count;
      if (count === -EAGAIN) return 0;
      if (count === -ENOBUFS) this.overruns++;
      else if (count !== -EINTR) throw new Error(`Cannot read a netfilter queue: ${strerror(-count)}`);
    }
  }

  /**
   * Reads one of the messages just received into the fields of this object. False if it is not a packet. `captured` is 0 where
   * the message has an id, but no bytes of the packet: it needs a verdict all the same.
   */
  read(message: number): boolean {
    const view = this.#view;
    const start = message * SLOT;
    const end = start + this.#messages.received(message);
    if (end - start < HEADER + GENERIC || view.getUint16(start + 4, true) !== NFQNL_MSG_PACKET) {
      // Verdicts request no answer: an answer means that the kernel could not carry one out.
      if (end - start >= HEADER + 4 && view.getUint16(start + 4, true) === NLMSG_ERROR) this.refused++;
      return false;
    }
    let isPacket = false;
    let whole = 0;
    this.captured = 0;
    let at = start + HEADER + GENERIC;
    while (at + ATTRIBUTE <= end) {
      const size = view.getUint16(at, true);
      if (size < ATTRIBUTE || at + size > end) break;
      const type = view.getUint16(at + 2, true) & 0x3fff;
      if (type === NFQA_PACKET_HDR && size >= ATTRIBUTE + 4) {
        this.id = view.getUint32(at + ATTRIBUTE);
        isPacket = true;
      } else if (type === NFQA_CAP_LEN && size >= ATTRIBUTE + 4) {
        whole = view.getUint32(at + ATTRIBUTE);
      } else if (type === NFQA_PAYLOAD) {
        this.ip = at + ATTRIBUTE;
        this.captured = size - ATTRIBUTE;
      }
      at += (size + 3) & ~3;
    }
    // The kernel gives the whole length only where it has cut the packet.
    this.length = Math.max(whole, this.captured);
    return isPacket;
  }

  /**
   * DROP or ACCEPT for packet `id`. Ids come in the order of the queue, and every packet must get its verdict in that order.
   * So a run of equal verdicts needs one message, with the last id (NFQNL_MSG_VERDICT_BATCH: all waiting packets up to this
   * id): when the kernel carries it out, no packet of an earlier run waits any more.
   */
  verdict(id: number, verdict: number): void {
    if (verdict !== this.#run) {
      this.#finishRun();
      if (this.#finished === BATCH) this.flush();
      this.#run = verdict;
    }
    this.#runId = id;
  }

  #finishRun(): void {
    if (this.#run < 0) return;
    const value = this.#finished++ * VERDICT + HEADER + GENERIC + ATTRIBUTE;
    this.#verdicts.setUint32(value, this.#run);
    this.#verdicts.setUint32(value + 4, this.#runId);
    this.#run = -1;
  }

  /** Sends the verdicts to the kernel in one call, which carries them out one after the other before it returns. */
  flush(): void {
    this.#finishRun();
    if (this.#finished === 0) return;
    // None may be left out: a later verdict would decide about its packets.
    this.#send(this.#verdictsAt, this.#finished * VERDICT, "give verdicts to");
    this.#finished = 0;
  }

  /** Sends a message, which the kernel carries out before this returns. */
  #send(at: number, length: number, what: string): void {
    for (let tries = 0; ; tries++) {
      if ((libc.sendto(this.#fd, at, length, 0, null, 0) as unknown as number) >= 0) return;
      const code = errno();
      const isTemporary = code === EINTR || code === ENOBUFS || code === ENOMEM || code === EAGAIN;
      if (!isTemporary || tries === MOST_TRIES)
        throw new Error(`Cannot ${what} a netfilter queue: ${strerror(code)}`);
      if (code !== EINTR) sleepMicroseconds(1000);
    }
  }
}
