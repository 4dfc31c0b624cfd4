/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From an Ethernet frame at XDP to a UDP datagram, or to a fragment of one. */
#ifndef XCOPY_DATAGRAM_FRAME_H
#define XCOPY_DATAGRAM_FRAME_H

#include <linux/bpf.h>
#include <linux/in.h>

#include "datagram.h"
#include "frame.h"

/* As `parse_datagram`, of a frame that is no TCP: `parse_frame` has found where its IP header is.
 */
static __always_inline enum datagram
parse_datagram_frame(struct xdp_md *frame, struct segment *segment, struct piece *piece) {
    __builtin_memset(piece, 0, sizeof(*piece));
    if (parse_frame4(frame, segment, IPPROTO_UDP, piece) != SEGMENT &&
        parse_frame6(frame, segment, IPPROTO_UDP, piece) != SEGMENT)
        return NO_DATAGRAM;
    segment->payload_offset = segment->tcp_offset;
    segment->seq = piece->id;
    segment->ack = piece->fragment;
    if (piece->fragment >> 3)
        return LATER_FRAGMENT;
    const struct udp_header *udp = look(frame, segment->ip + segment->tcp_offset, sizeof(*udp));
    if (!udp)
        return NO_DATAGRAM;
    segment->source_port = udp->source;
    segment->destination_port = udp->destination;
    segment->payload_offset += UDP_HEADER;
    if (segment->payload_offset > segment->length)
        return NO_DATAGRAM;
    if (piece->fragment)
        return FIRST_FRAGMENT;
    segment->ack = (__u32)udp->length << 16 | udp->checksum;
    const __u32 *payload = look(frame, segment->ip + segment->payload_offset, sizeof(*payload));
    segment->seq = payload ? *payload : 0;
    return WHOLE;
}

#endif
