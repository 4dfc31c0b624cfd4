/** What `index` of a record of a UDP datagram says beside its service, as bpf/record/record.h has it. */

/** Added to the index where the datagram was sent to a group or to all. */
export const NOT_UNICAST = 0x40000000;
/** In place of the index: a fragment, of which only the whole tells the service. */
export const FRAGMENT_INDEX = 0x20000000;
