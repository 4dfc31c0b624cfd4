/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From an Ethernet frame at XDP to a TCP segment, and to a record with its headers. */
#ifndef XCOPY_FRAME_H
#define XCOPY_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "headers.h"
#include "parse.h"
#include "record.h"
#include "ring.h"
#include "state.h"

/* No header that is looked at begins behind it: the verifier wants a bound. */
#define MAX_OFFSET 4095

/* `size` bytes from an offset of the frame, or null where it is shorter. */
static __always_inline const void *look(struct xdp_md *frame, __u32 offset, __u32 size) {
    /* 64 bits and a barrier: what the compiler checks must be the register that it uses. */
    __u64 at = offset;
    barrier_var(at);
    if (at > MAX_OFFSET)
        return 0;
    const void *start = (const void *)(long)frame->data + at;
    return start + size > (const void *)(long)frame->data_end ? 0 : start;
}

/* As parse_ip4. */
static __always_inline enum parsed parse_frame4(struct xdp_md *frame, struct segment *segment,
                                                __u8 transport, struct piece *piece) {
    const struct iphdr *ip = look(frame, segment->ip, sizeof(*ip));
    if (!ip || ip->version != 4 || ip->ihl < 5 || ip->protocol != transport)
        return OTHER;
    __u32 fragment = bpf_ntohs(ip->frag_off);
    segment->family = AF_INET;
    segment->length = bpf_ntohs(ip->tot_len);
    segment->tcp_offset = ip->ihl * 4;
    segment->id = bpf_ntohs(ip->id);
    piece->id = segment->id;
    piece->fragment = (fragment & 0x1fff) << 3 | (fragment >> 13 & 1);
    return SEGMENT;
}

/* As parse_ip6. */
static __always_inline enum parsed parse_frame6(struct xdp_md *frame, struct segment *segment,
                                                __u8 transport, struct piece *piece) {
    const struct ipv6hdr *ip = look(frame, segment->ip, sizeof(*ip));
    if (!ip || ip->version != 6)
        return OTHER;
    segment->family = AF_INET6;
    segment->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
    __u32 offset = sizeof(*ip);
    __u8 next = ip->nexthdr;
    for (int i = 0; i < MAX_EXTENSION_HEADERS && next != transport; i++) {
        const __u8 *extension = look(frame, segment->ip + offset, 8);
        if (!extension)
            return OTHER;
        if (next == IPPROTO_FRAGMENT) {
            piece->id = *(const __be32 *)(extension + 4);
            piece->fragment = bpf_ntohs(*(const __be16 *)(extension + 2)) & 0xfff9;
            offset += 8;
        } else if (next == IPPROTO_AH) {
            offset += (extension[1] + 2) * 4;
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
    return next == transport ? SEGMENT : OTHER;
}

/* As `parse`; offsets are from the IP header, `ip` from the frame. */
static __always_inline enum parsed parse_frame(struct xdp_md *frame, struct segment *segment) {
    __builtin_memset(segment, 0, sizeof(*segment));
    segment->ip = ETH_HLEN;
    const __be16 *type = look(frame, ETH_HLEN - 2, 2);
#pragma nounroll
    for (int i = 0; i < MAX_VLAN_TAGS; i++) {
        if (!type || (*type != bpf_htons(ETH_P_8021Q) && *type != bpf_htons(ETH_P_8021AD)))
            break;
        segment->ip += 4;
        type = look(frame, segment->ip - 2, 2);
    }
    struct piece piece = {};
    enum parsed result = OTHER;
    if (type && *type == bpf_htons(ETH_P_IP))
        result = parse_frame4(frame, segment, IPPROTO_TCP, &piece);
    else if (type && *type == bpf_htons(ETH_P_IPV6))
        result = parse_frame6(frame, segment, IPPROTO_TCP, &piece);
    if (result != SEGMENT)
        return result;
    if (piece.fragment >> 3)
        return FRAGMENT;
    const struct tcphdr *tcp = look(frame, segment->ip + segment->tcp_offset, sizeof(*tcp));
    if (!tcp)
        return OTHER;
    segment->source_port = tcp->source;
    segment->destination_port = tcp->dest;
    segment->seq = bpf_ntohl(tcp->seq);
    segment->ack = bpf_ntohl(tcp->ack_seq);
    segment->flags = ((const __u8 *)tcp)[13];
    segment->payload_offset = segment->tcp_offset + tcp->doff * 4;
    return tcp->doff < 5 || segment->payload_offset > segment->length ? OTHER : SEGMENT;
}

/* As `put`, with MAX_HEADERS of space. All headers are multiples of 4 bytes. */
static __always_inline int put_frame(struct xdp_md *frame, void *ring, const struct record *header,
                                     __u32 offset) {
    struct record *record = bpf_ringbuf_reserve(ring, sizeof(*record) + MAX_HEADERS, 0);
    if (!record)
        return -1;
    __builtin_memcpy(record, header, sizeof(*record));
    __u32 *to = (__u32 *)(record + 1);
#pragma nounroll
    for (__u32 i = 0; i < MAX_HEADERS / 4; i++) {
        if (i * 4 >= header->captured)
            break;
        const __u32 *word = look(frame, offset + i * 4, 4);
        if (!word)
            goto malformed;
        to[i] = *word;
    }
    bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    wake(ring, ONLY_WORKER);
    return 0;

malformed:
    bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    return 1;
}

static __always_inline void capture_frame_headers(struct xdp_md *frame,
                                                  const struct segment *segment, __u32 index,
                                                  __u64 now_us) {
    if (segment->payload_offset > MAX_HEADERS) {
        add(OVERSIZE, 1);
        return;
    }
    void *ring = ring_of_this_cpu(ONLY_WORKER);
    if (!ring)
        return;
    struct record header = response_record(segment, index, now_us, frame->ingress_ifindex);
    count_response(put_frame(frame, ring, &header, segment->ip), segment);
}

#endif
