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

static __always_inline enum parsed
parse_datagram_frame4(struct xdp_md *frame, struct segment *segment, struct piece *piece) {
    const struct iphdr *ip = look(frame, segment->ip, sizeof(*ip));
    if (!ip || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
        return OTHER;
    __u32 fragment = bpf_ntohs(ip->frag_off);
    segment->family = AF_INET;
    segment->id = bpf_ntohs(ip->id);
    segment->length = bpf_ntohs(ip->tot_len);
    segment->tcp_offset = ip->ihl * 4;
    piece->id = segment->id;
    piece->fragment = (fragment & 0x1fff) << 3 | (fragment >> 13 & 1);
    return SEGMENT;
}

static __always_inline enum parsed
parse_datagram_frame6(struct xdp_md *frame, struct segment *segment, struct piece *piece) {
    const struct ipv6hdr *ip = look(frame, segment->ip, sizeof(*ip));
    if (!ip || ip->version != 6)
        return OTHER;
    segment->family = AF_INET6;
    segment->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
    __u32 offset = sizeof(*ip);
    __u8 next = ip->nexthdr;
    for (int i = 0; i < MAX_EXTENSION_HEADERS && next != IPPROTO_UDP; i++) {
        const __u8 *extension = look(frame, segment->ip + offset, 8);
        if (!extension)
            return OTHER;
        if (next == IPPROTO_FRAGMENT) {
            piece->id = *(const __be32 *)(extension + 4);
            piece->fragment = bpf_ntohs(*(const __be16 *)(extension + 2)) & 0xfff9;
            offset += 8;
        } else if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
            offset += (extension[1] + 1) * 8;
        } else {
            return OTHER;
        }
        next = extension[0];
        if (piece->fragment >> 3)
            break;
    }
    segment->tcp_offset = offset;
    return next == IPPROTO_UDP ? SEGMENT : OTHER;
}

/* As `parse_datagram`, of a frame that is no TCP: `parse_frame` has found where its IP header is.
 */
static __always_inline enum datagram
parse_datagram_frame(struct xdp_md *frame, struct segment *segment, struct piece *piece) {
    __builtin_memset(piece, 0, sizeof(*piece));
    if (parse_datagram_frame4(frame, segment, piece) != SEGMENT &&
        parse_datagram_frame6(frame, segment, piece) != SEGMENT)
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
