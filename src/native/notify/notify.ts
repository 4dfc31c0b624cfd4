/** Sends datagrams to a unix socket, as sd_notify(3) does: a path, or a name in the abstract namespace (unix(7)). */
import {
  address,
  errno,
  libc,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  strerror,
} from "../libc.ts";

const AF_UNIX = 1;
const SO_SNDTIMEO = 21;
/** Bytes of sun_path in struct sockaddr_un, behind its two of sun_family. */
const LONGEST_NAME = 108;
/** us that a receiver whose queue is full may take. */
const PATIENCE = 200_000;

/** struct sockaddr_un: a name that begins with @ is abstract, without a 0 behind it. Null: no socket has such a name. */
export function unixAddress(name: string): Uint8Array | null {
  const bytes = new TextEncoder().encode(name);
  const isAbstract = name.startsWith("@");
  if (!(isAbstract || name.startsWith("/")) || bytes.length < 2) return null;
  if (bytes.length + (isAbstract ? 0 : 1) > LONGEST_NAME) return null;
  const made = new Uint8Array(new ArrayBuffer(2 + bytes.length + (isAbstract ? 0 : 1)));
  new DataView(made.buffer).setUint16(0, AF_UNIX, true);
  made.set(bytes, 2);
  if (isAbstract) made[2] = 0;
  return made;
}

/**
 * Sends one datagram, and waits 0.2 s at most for a receiver whose queue is full. By a socket of its own: a receiver that was
 * restarted has another one of the same name. Returns the cause if it could not be sent, else null.
 */
export function sendDatagram(name: string, text: string): string | null {
  const to = unixAddress(name);
  if (to === null) return `"${name}" is no name of a unix socket`;
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return strerror(errno());
  try {
    const wait = new BigInt64Array(new ArrayBuffer(16));
    wait[1] = BigInt(PATIENCE);
    libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, address(wait), wait.byteLength);
    const encoded = new TextEncoder().encode(text);
    const bytes = new Uint8Array(new ArrayBuffer(encoded.length));
    bytes.set(encoded);
    const sent = libc.sendto(fd, address(bytes), bytes.length, MSG_NOSIGNAL, address(to), to.length);
    return Number(sent) < 0 ? strerror(errno()) : null;
  } finally {
    libc.close(fd);
  }
}
