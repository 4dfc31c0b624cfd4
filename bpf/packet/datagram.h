/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Parses UDP datagrams and their fragments. */
#ifndef XCOPY_DATAGRAM_H
#define XCOPY_DATAGRAM_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fragmented.h"
#include "parse.h"
#include "prefilter.h"

#define UDP_HEADER 8

/* linux/udp.h has no type that BPF programs can use without a C library. */
struct udp_header {
    __be16 source;
    __be16 destination;
    __be16 length;
    __be16 checksum;
};

enum datagram {
    NO_DATAGRAM,
    WHOLE,
    FIRST_FRAGMENT, /* has the UDP header */
    LATER_FRAGMENT, /* does not: its ports are 0 */
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct ports);
} datagram_ports SEC(".maps");

static __always_inline int datagram_port_matches(__be16 port) {
    __u32 zero = 0;
    return has_port(bpf_map_lookup_elem(&datagram_ports, &zero), port);
}

/* As is_certainly_not_ours, for UDP. */
static __always_inline int is_certainly_no_datagram(struct __sk_buff *skb, enum side side) {
    const __u8 *ip = plain_ip(skb);
    if (!ip)
        return 0;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        if (ip[0] != IP4_WITHOUT_OPTIONS)
            return 0;
        if (ip[IP4_PROTOCOL] != IPPROTO_UDP)
            return 1;
        if (*(const __be16 *)(ip + IP4_FRAGMENT) & bpf_htons(0x3fff))
            return 0;
        return !datagram_port_matches(*(const __be16 *)(ip + 20 + side));
    }
    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        if (!has_plain_ip6(skb, ip))
            return 0;
        if (ip[IP6_NEXT_HEADER] == IPPROTO_UDP)
            return !datagram_port_matches(*(const __be16 *)(ip + 40 + side));
        return ip[IP6_NEXT_HEADER] == IPPROTO_TCP;
    }
    return 0;
}

/*
 * Parses a UDP datagram into `segment`; `tcp_offset` is then that of the UDP header. `seq` and
 * `ack` tell it from others of its flow: of a fragment identification and offset, else 0 and UDP
 * length with checksum. The caller may put the first bytes of the payload into `seq`.
 */
static __always_inline enum parsed parse_udp(struct bytes bytes, __u32 ip, __be16 protocol,
                                             struct segment *segment, struct piece *piece) {
    enum parsed result = parse_ip(bytes, ip, protocol, segment, IPPROTO_UDP, piece);
    if (result != SEGMENT)
        return result;
    segment->payload_offset = segment->tcp_offset;
    if (segment->payload_offset > segment->length)
        return OTHER;
    segment->seq = piece->id;
    segment->ack = piece->fragment;
    if (piece->fragment >> 3)
        return SEGMENT;
    const struct udp_header *udp = look(bytes, segment->ip + segment->tcp_offset, sizeof(*udp));
    if (!udp)
        return CUT;
    segment->source_port = udp->source;
    segment->destination_port = udp->destination;
    segment->payload_offset += UDP_HEADER;
    if (segment->payload_offset > segment->length)
        return OTHER;
    if (!piece->fragment) {
        segment->ack = (__u32)udp->length << 16 | udp->checksum;
        segment->seq = 0;
    }
    return SEGMENT;
}

static __always_inline enum datagram datagram_of(enum parsed parsed, const struct piece *piece) {
    if (parsed != SEGMENT)
        return NO_DATAGRAM;
    if (piece->fragment >> 3)
        return LATER_FRAGMENT;
    return piece->fragment ? FIRST_FRAGMENT : WHOLE;
}

/* As `parse`, for UDP. */
static __always_inline enum datagram parse_datagram(struct __sk_buff *skb, struct segment *segment,
                                                    struct piece *piece) {
    enum parsed result = OTHER;
#pragma nounroll
    for (int i = 0; i < 2; i++) {
        result = parse_udp(bytes_of(skb), network_offset(skb), skb->protocol, segment, piece);
        if (result != CUT || pull_headers(skb))
            break;
    }
    return datagram_of(result, piece);
}

/* The same for a frame at XDP. */
static __always_inline enum datagram
parse_datagram_frame(struct xdp_md *frame, struct segment *segment, struct piece *piece) {
    struct bytes bytes = bytes_of(frame);
    return datagram_of(parse_udp(bytes, ETH_HLEN, frame_type(bytes), segment, piece), piece);
}

#endif
