/** The qdiscs of interfaces (linux/rtnetlink.h, struct tcmsg), of which only one matters here. */
import { dump } from "./netlink.ts";

const RTM_NEWQDISC = 36;
const RTM_GETQDISC = 38;
/** Bytes of struct tcmsg; where the interface and the parent are in it. */
const TCMSG = 20;
const IFINDEX_AT = 4;
const PARENT_AT = 12;
const TC_H_CLSACT = 0xfffffff1;

/** Whether an interface has a clsact qdisc, or an ingress qdisc in its place. Throws a NetlinkError. */
export function hasClsact(ifindex: number): boolean {
  const found = dump("list the qdiscs", RTM_GETQDISC, new Uint8Array(TCMSG), (type, body) => {
    const message = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const isIt =
      type === RTM_NEWQDISC &&
      message.getInt32(IFINDEX_AT, true) === ifindex &&
      message.getUint32(PARENT_AT, true) === TC_H_CLSACT;
    return isIt || null;
  });
  return found.length > 0;
}
