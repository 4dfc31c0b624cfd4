/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* ICMP messages that say that a packet was too big for the path (RFC 1191, RFC 8201). */
#ifndef XCOPY_TOO_BIG_H
#define XCOPY_TOO_BIG_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

/* linux/icmp.h needs a C library's headers, which the BPF target has not. */
#define DESTINATION_UNREACHABLE 3
#define FRAGMENTATION_NEEDED 4
#define PACKET_TOO_BIG 2

struct icmp_header {
    __u8 type;
    __u8 code;
    __be16 checksum;
    __be32 rest;
};

/* The flow of the packet that is quoted. */
struct quoted {
    struct addresses addresses;
    struct {
        __be16 source;
        __be16 destination;
    } ports;
    __u32 length; /* of the message, with its IP header */
    __u16 family;
};

static __always_inline int read_too_big4(struct __sk_buff *skb, struct quoted *quoted) {
    struct iphdr ip, inner;
    struct icmp_header icmp;
    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 4 || ip.protocol != IPPROTO_ICMP ||
        ip.frag_off & bpf_htons(0x3fff))
        return -1;
    __u32 offset = ip.ihl * 4;
    if (load(skb, offset, &icmp, sizeof(icmp)) || icmp.type != DESTINATION_UNREACHABLE ||
        icmp.code != FRAGMENTATION_NEEDED)
        return -1;
    offset += sizeof(icmp);
    if (load(skb, offset, &inner, sizeof(inner)) || inner.version != 4 ||
        inner.protocol != IPPROTO_TCP || inner.frag_off & bpf_htons(0x1fff))
        return -1;
    __builtin_memset(&quoted->addresses, 0, sizeof(quoted->addresses));
    __builtin_memcpy(quoted->addresses.source, &inner.saddr, 4);
    __builtin_memcpy(quoted->addresses.destination, &inner.daddr, 4);
    quoted->family = AF_INET;
    quoted->length = bpf_ntohs(ip.tot_len);
    return load(skb, offset + inner.ihl * 4, &quoted->ports, sizeof(quoted->ports));
}

static __always_inline int read_too_big6(struct __sk_buff *skb, struct quoted *quoted) {
    struct ipv6hdr ip, inner;
    struct icmp_header icmp;
    __u32 offset = sizeof(ip) + sizeof(icmp);
    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 6 || ip.nexthdr != IPPROTO_ICMPV6 ||
        load(skb, sizeof(ip), &icmp, sizeof(icmp)) || icmp.type != PACKET_TOO_BIG ||
        load(skb, offset, &inner, sizeof(inner)) || inner.nexthdr != IPPROTO_TCP)
        return -1;
    __builtin_memcpy(quoted->addresses.source, &inner.saddr, 16);
    __builtin_memcpy(quoted->addresses.destination, &inner.daddr, 16);
    quoted->family = AF_INET6;
    quoted->length = bpf_ntohs(ip.payload_len) + sizeof(ip);
    return load(skb, offset + sizeof(inner), &quoted->ports, sizeof(quoted->ports));
}

/* Reads the flow that such a message is about; -1 if the packet is none. */
static __always_inline int read_too_big(struct __sk_buff *skb, struct quoted *quoted) {
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return read_too_big4(skb, quoted);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return read_too_big6(skb, quoted);
    return -1;
}

#endif
