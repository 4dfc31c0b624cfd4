/** Values of `index` in a record besides its service, as in bpf/record/record.h. */

/** Set in the index of what a service sent to a client. */
export const OUTGOING = 2 ** 31;
/** UDP: set in the index where the datagram was sent to a multicast or broadcast address. */
export const NOT_UNICAST = 0x40000000;
/** In place of the index: a fragment, whose service is known after reassembly; of UDP, and of TCP. */
export const FRAGMENT_INDEX = 0x20000000;
export const SEGMENT_FRAGMENT_INDEX = 0x20000001;
/** In place of the index: the program that captured the packet asks nobody whose it is (NO_REQUEST in record.h). */
export const UNKNOWN_INDEX = 0xffffffff;
