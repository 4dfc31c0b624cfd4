/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* ICMP errors (RFC 792, RFC 4443), which quote the TCP or UDP packet that they are about. */
#ifndef XCOPY_QUOTED_H
#define XCOPY_QUOTED_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

/* linux/icmp.h needs a C library's headers, which the BPF target does not have. */
#define DESTINATION_UNREACHABLE 3
#define UNREACHABLE6 1
#define SOURCE_QUENCH 4
#define REDIRECT 5
#define TIME_EXCEEDED 11
#define PARAMETER_PROBLEM 12
#define FIRST_ICMP6_INFORMATION 128

struct icmp_header {
    __u8 type;
    __u8 code;
    __be16 checksum;
    __be32 rest;
};

/* An ICMP error, and the flow of the packet that it quotes. */
struct quoted {
    struct addresses addresses;
    struct {
        __be16 source;
        __be16 destination;
        __be32 seq; /* of TCP */
    } ports;
    __u32 length; /* of the message, with its IP header */
    __u16 family;
    __u8 type;
    __u8 code;
    __u8 protocol; /* of the packet that is quoted */
};

static __always_inline long load(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
    return bpf_skb_load_bytes_relative(skb, offset, to, size, BPF_HDR_START_NET);
}

static __always_inline int quotes(__u8 type) {
    return type == DESTINATION_UNREACHABLE || type == SOURCE_QUENCH || type == REDIRECT ||
           type == TIME_EXCEEDED || type == PARAMETER_PROBLEM;
}

static __always_inline int read_quoted4(struct __sk_buff *skb, struct quoted *quoted) {
    struct iphdr ip, inner;
    struct icmp_header icmp;
    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 4 || ip.protocol != IPPROTO_ICMP ||
        ip.frag_off & bpf_htons(0x3fff))
        return -1;
    __u32 offset = ip.ihl * 4;
    if (load(skb, offset, &icmp, sizeof(icmp)) || !quotes(icmp.type))
        return -1;
    offset += sizeof(icmp);
    if (load(skb, offset, &inner, sizeof(inner)) || inner.version != 4 ||
        (inner.protocol != IPPROTO_TCP && inner.protocol != IPPROTO_UDP) ||
        inner.frag_off & bpf_htons(0x1fff))
        return -1;
    __builtin_memset(&quoted->addresses, 0, sizeof(quoted->addresses));
    __builtin_memcpy(quoted->addresses.source, &inner.saddr, 4);
    __builtin_memcpy(quoted->addresses.destination, &inner.daddr, 4);
    quoted->family = AF_INET;
    quoted->protocol = inner.protocol;
    quoted->length = bpf_ntohs(ip.tot_len);
    quoted->type = icmp.type;
    quoted->code = icmp.code;
    return load(skb, offset + inner.ihl * 4, &quoted->ports, sizeof(quoted->ports));
}

static __always_inline int read_quoted6(struct __sk_buff *skb, struct quoted *quoted) {
    struct ipv6hdr ip, inner;
    struct icmp_header icmp;
    __u32 offset = sizeof(ip) + sizeof(icmp);
    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 6 || ip.nexthdr != IPPROTO_ICMPV6 ||
        load(skb, sizeof(ip), &icmp, sizeof(icmp)) || icmp.type >= FIRST_ICMP6_INFORMATION ||
        load(skb, offset, &inner, sizeof(inner)) || inner.version != 6 ||
        (inner.nexthdr != IPPROTO_TCP && inner.nexthdr != IPPROTO_UDP))
        return -1;
    __builtin_memcpy(quoted->addresses.source, &inner.saddr, 16);
    __builtin_memcpy(quoted->addresses.destination, &inner.daddr, 16);
    quoted->family = AF_INET6;
    quoted->protocol = inner.nexthdr;
    quoted->length = bpf_ntohs(ip.payload_len) + sizeof(ip);
    quoted->type = icmp.type;
    quoted->code = icmp.code;
    return load(skb, offset + sizeof(inner), &quoted->ports, sizeof(quoted->ports));
}

/* Reads an ICMP error that quotes a TCP or UDP packet. 0, or -1 if the packet is none. */
static __always_inline int read_quoted(struct __sk_buff *skb, struct quoted *quoted) {
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return read_quoted4(skb, quoted);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return read_quoted6(skb, quoted);
    return -1;
}

#endif
