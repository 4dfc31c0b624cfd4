/** Values of `index` in the record of a UDP datagram besides its service, as in bpf/record/record.h. */

/** Set in the index where the datagram was sent to a multicast or broadcast address. */
export const NOT_UNICAST = 0x40000000;
/** In place of the index: a fragment, whose service is known after reassembly. */
export const FRAGMENT_INDEX = 0x20000000;
