/** The name of an interface, and whether it has tc filters, in the network namespace of the calling thread; without libbpf. */
import { dlopen, FFIType } from "bun:ffi";
import { AF_NETLINK, errno, libc, SOCK_CLOEXEC, SOCK_RAW, strerror } from "./libc.ts";

const { if_indextoname } = dlopen("libc.so.6", {
  if_indextoname: { args: [FFIType.u32, FFIType.ptr], returns: FFIType.ptr },
}).symbols;

const NETLINK_ROUTE = 0;
const NLM_F_REQUEST = 0x01;
const NLM_F_DUMP = 0x300;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
/** Parents of filters on clsact: TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), and the same for egress. */
const CLSACT_PARENTS = [0xfffffff2, 0xfffffff3];
const HEADER_BYTES = 16;
const REQUEST_BYTES = HEADER_BYTES + 20;

/** The name of an interface, null if there is none with this index. */
export function interfaceName(ifindex: number): string | null {
  const name = new Uint8Array(new ArrayBuffer(16));
  return if_indextoname(ifindex, name) ? new TextDecoder().decode(name.subarray(0, name.indexOf(0))) : null;
}

/** Whether the clsact qdisc of an interface has any filter, at ingress or egress, of any program. Throws on errors. */
export function hasFilters(ifindex: number): boolean {
  return CLSACT_PARENTS.some((parent) => dumpHasFilters(ifindex, parent));
}

function dumpHasFilters(ifindex: number, parent: number): boolean {
  const fd = Number(libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (fd < 0) throw new Error(`Cannot list the classifiers: ${strerror(errno())}`);
  try {
    const request = new DataView(new ArrayBuffer(REQUEST_BYTES)); // struct nlmsghdr, struct tcmsg
    request.setUint32(0, REQUEST_BYTES, true);
    request.setUint16(4, RTM_GETTFILTER, true);
    request.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true);
    request.setInt32(HEADER_BYTES + 4, ifindex, true);
    request.setUint32(HEADER_BYTES + 12, parent, true);
    const kernel = new Uint8Array(new ArrayBuffer(12));
    kernel[0] = AF_NETLINK;
    const bytes = new Uint8Array(request.buffer);
    if (Number(libc.sendto(fd, bytes, bytes.length, 0, kernel, kernel.length)) < 0) {
      throw new Error(`Cannot list the classifiers: ${strerror(errno())}`);
    }
    // The first message is enough: a filter, or the end of the list.
    const answer = new DataView(new ArrayBuffer(65536));
    if (Number(libc.recv(fd, new Uint8Array(answer.buffer), answer.byteLength, 0)) < HEADER_BYTES) {
      throw new Error(`Cannot list the classifiers: ${strerror(errno())}`);
    }
    return answer.getUint16(4, true) === RTM_NEWTFILTER;
  } finally {
    libc.close(fd);
  }
}
