/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From an Ethernet frame at XDP to a UDP datagram, or to a fragment of one. */
#ifndef XCOPY_DATAGRAM_FRAME_H
#define XCOPY_DATAGRAM_FRAME_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>

#include "datagram.h"
#include "frame.h"

static __always_inline enum datagram parse_datagram_frame4(struct xdp_md *frame,
                                                           struct segment *segment) {
    const struct iphdr *ip = look(frame, segment->ip, sizeof(*ip));
    if (!ip || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
        return NO_DATAGRAM;
    segment->family = AF_INET;
    segment->length = bpf_ntohs(ip->tot_len);
    segment->tcp_offset = ip->ihl * 4;
    return ip->frag_off & bpf_htons(0x1fff) ? LATER_FRAGMENT : WHOLE;
}

static __always_inline enum datagram parse_datagram_frame6(struct xdp_md *frame,
                                                           struct segment *segment) {
    const struct ipv6hdr *ip = look(frame, segment->ip, sizeof(*ip));
    if (!ip || ip->version != 6)
        return NO_DATAGRAM;
    segment->family = AF_INET6;
    segment->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
    segment->tcp_offset = sizeof(*ip);
    if (ip->nexthdr == IPPROTO_UDP)
        return WHOLE;
    const __u8 *extension = look(frame, segment->ip + sizeof(*ip), 8);
    if (ip->nexthdr != IPPROTO_FRAGMENT || !extension || extension[0] != IPPROTO_UDP)
        return NO_DATAGRAM;
    segment->tcp_offset += 8;
    return *(const __be16 *)(extension + 2) & bpf_htons(0xfff8) ? LATER_FRAGMENT : WHOLE;
}

/* Of a frame that `parse_frame` has found to be no TCP: `segment` knows where its IP header is. */
static __always_inline enum datagram parse_datagram_frame(struct xdp_md *frame,
                                                          struct segment *segment) {
    enum datagram kind = parse_datagram_frame4(frame, segment);
    if (kind == NO_DATAGRAM)
        kind = parse_datagram_frame6(frame, segment);
    if (kind != WHOLE)
        return kind;
    const struct udp_header *udp = look(frame, segment->ip + segment->tcp_offset, sizeof(*udp));
    if (!udp)
        return NO_DATAGRAM;
    segment->source_port = udp->source;
    segment->destination_port = udp->destination;
    segment->payload_offset = segment->tcp_offset + UDP_HEADER;
    return segment->payload_offset > segment->length ? NO_DATAGRAM : WHOLE;
}

#endif
