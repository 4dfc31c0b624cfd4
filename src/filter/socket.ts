/** Attaches a filter to a socket of this process (SO_ATTACH_FILTER of socket(7)). */
import { Failure } from "../native/failure.ts";
import { address, errno, libc, SOL_SOCKET, strerror } from "../native/libc.ts";

const SO_ATTACH_FILTER = 26;
const MAX_INSTRUCTIONS = 4096;

/**
 * From now on only packets that match come into the queue of a socket; what is in it already stays. `instructions` are those of
 * a Filter: on a packet socket SOCK_RAW needs that for the interface's link layer, SOCK_DGRAM the "raw" one. VLAN tags that are
 * not in the packet are not seen, not even by `vlan`. Unlike libpcap's interpreter, Linux lets X + k overflow here, and loads
 * from 0xfffff000 on are its extensions. Throws a Failure: 2 for a filter that is too long, 1 for what else the kernel refuses.
 */
export function attachSocketFilter(socket: number, instructions: Uint8Array): void {
  const count = instructions.length / 8;
  const program = new DataView(new ArrayBuffer(16)); // struct sock_fprog
  program.setUint16(0, Math.min(count, 0xffff), true);
  program.setBigUint64(8, BigInt(address(instructions)), true);
  const bytes = new Uint8Array(program.buffer);
  if (
    count <= MAX_INSTRUCTIONS &&
    libc.setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, bytes, bytes.length) === 0
  )
    return;
  const code = errno();
  if (count > MAX_INSTRUCTIONS) {
    throw new Failure(
      `Cannot attach the filter to a socket: it has ${count} instructions, and the kernel takes ${MAX_INSTRUCTIONS}`,
      "Use a shorter filter, for example nets in place of hosts.",
      2,
    );
  }
  throw new Failure(`Cannot attach the filter to a socket: ${strerror(code)}`, "Use another filter.", 1);
}
