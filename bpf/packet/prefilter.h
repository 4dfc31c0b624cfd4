/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Rejects most packets that are not ours at low cost: it reads protocol and port at fixed offsets
 * of plain Ethernet frames. It never decides that a packet is ours; what it does not recognise is
 * parsed.
 */
#ifndef XCOPY_PREFILTER_H
#define XCOPY_PREFILTER_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "byte-order.h"

/* A bit per port (host order). */
struct ports {
    __u8 bits[65536 / 8];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct ports);
} ports SEC(".maps");

static __always_inline int has_port(const struct ports *known, __be16 port) {
    __u32 number = index_of(port);
    return known && known->bits[number >> 3] & 1 << (number & 7);
}

static __always_inline int port_is_in(__u32 index, __be16 port) {
    return has_port(bpf_map_lookup_elem(&ports, &index), port);
}

/* Bitmap 0 has all ports of interest. */
static __always_inline int port_matches(__be16 port) { return port_is_in(0, port); }

/* Which port of a TCP or UDP header is looked up: its offset in the header. */
enum side { SOURCE_PORT = 0, DESTINATION_PORT = 2 };

#define IP4_WITHOUT_OPTIONS 0x45
#define IP4_FRAGMENT 6
#define IP4_PROTOCOL 9
#define IP6_NEXT_HEADER 6

/* The IP header of a plain Ethernet frame, of which 24 bytes may be read; 0 if it is not plain. */
static __always_inline const __u8 *plain_ip(struct __sk_buff *skb) {
    const __u8 *frame = (const void *)(long)skb->data;
    const void *end = (const void *)(long)skb->data_end;
    const __u8 *ip = frame + ETH_HLEN;
    if ((const void *)(ip + 24) > end || *(const __be16 *)(frame + 12) != skb->protocol)
        return 0;
    /* A packet without a MAC header (tun) would start with its IP version. */
    if (frame[0] >> 4 == 4 || frame[0] >> 4 == 6)
        return 0;
    return ip;
}

/* Whether all of an IPv6 header and the ports after it may be read. */
static __always_inline int has_plain_ip6(struct __sk_buff *skb, const __u8 *ip) {
    return (const void *)(ip + 44) <= (const void *)(long)skb->data_end && ip[0] >> 4 == 6;
}

static __always_inline int is_certainly_not_ours(struct __sk_buff *skb, enum side side) {
    const __u8 *ip = plain_ip(skb);
    if (!ip)
        return 0;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        if (ip[0] != IP4_WITHOUT_OPTIONS ||
            *(const __be16 *)(ip + IP4_FRAGMENT) & bpf_htons(0x3fff))
            return 0;
        if (side == SOURCE_PORT && ip[IP4_PROTOCOL] == IPPROTO_ICMP)
            return 0; /* may be about a flow of ours */
        return ip[IP4_PROTOCOL] != IPPROTO_TCP || !port_matches(*(const __be16 *)(ip + 20 + side));
    }
    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        if (!has_plain_ip6(skb, ip) || ip[IP6_NEXT_HEADER] != IPPROTO_TCP)
            return 0;
        return !port_matches(*(const __be16 *)(ip + 40 + side));
    }
    return 0;
}

#endif
