/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From an skb at tc ingress or egress to a TCP segment. */
#ifndef XCOPY_PARSE_H
#define XCOPY_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define MAX_VLAN_TAGS 2
#define MAX_EXTENSION_HEADERS 4
/* More than all headers of a packet that can be parsed normally take. */
#define HEADER_BYTES 512

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_ACK 0x10

/* Offsets are from the IP header, which itself is `ip` bytes behind the skb's network header. */
struct segment {
    __be16 source_port;
    __be16 destination_port;
    __u16 family;
    __u16 id; /* IPv4 identification, IPv6: 0 */
    __u32 seq;
    __u32 ack;
    __u32 ip;
    __u32 tcp_offset;
    __u32 payload_offset;
    __u32 length; /* of the IP packet, without Ethernet padding */
    __u8 flags;
};

enum parsed {
    SEGMENT,
    OTHER,    /* not TCP, or malformed */
    FRAGMENT, /* TCP, but not the fragment with the header */
    CUT,      /* headers are not in the linear part of the skb */
};

static __always_inline long load(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
    return bpf_skb_load_bytes_relative(skb, offset, to, size, BPF_HDR_START_NET);
}

/*
 * Offset of the network header from skb->data: 14 on Ethernet, 0 where packets come without a MAC
 * header (tun, ipip). The context does not tell, so it is where the first bytes of the network
 * header are found.
 */
static __always_inline __u32 network_offset(struct __sk_buff *skb) {
    __u64 header[2], data[2];
    if (load(skb, 0, header, sizeof(header)))
        return ETH_HLEN;
    const void *start = (const void *)(long)skb->data + ETH_HLEN;
    if (start + sizeof(data) <= (const void *)(long)skb->data_end)
        __builtin_memcpy(data, start, sizeof(data));
    else if (bpf_skb_load_bytes(skb, ETH_HLEN, data, sizeof(data)))
        return 0;
    return header[0] == data[0] && header[1] == data[1] ? ETH_HLEN : 0;
}

/* As the IP header has it, or a Fragment header; all 0 where there is none. */
struct piece {
    __u32 id;
    __u32 fragment; /* bytes in front of it, and 1 if more follow; 0: the packet is whole */
};

static __always_inline enum parsed parse_ip4(struct __sk_buff *skb, struct segment *segment,
                                             __u8 transport, struct piece *piece) {
    struct iphdr ip;
    if (load(skb, segment->ip, &ip, sizeof(ip)))
        return CUT;
    if (ip.version != 4 || ip.ihl < 5 || ip.protocol != transport)
        return OTHER;
    __u32 fragment = bpf_ntohs(ip.frag_off);
    segment->family = AF_INET;
    segment->id = bpf_ntohs(ip.id);
    segment->length = bpf_ntohs(ip.tot_len);
    segment->tcp_offset = ip.ihl * 4;
    piece->id = segment->id;
    piece->fragment = (fragment & 0x1fff) << 3 | (fragment >> 13 & 1);
    return SEGMENT;
}

static __always_inline enum parsed parse_ip6(struct __sk_buff *skb, struct segment *segment,
                                             __u8 transport, struct piece *piece) {
    struct ipv6hdr ip;
    if (load(skb, segment->ip, &ip, sizeof(ip)))
        return CUT;
    if (ip.version != 6)
        return OTHER;
    __u32 offset = sizeof(ip);
    __u8 next = ip.nexthdr;
    for (int i = 0; i < MAX_EXTENSION_HEADERS && next != transport; i++) {
        struct {
            __u8 next;
            __u8 length;
            __be16 fragment;
            __be32 id;
        } extension;
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
            next != IPPROTO_AH && next != IPPROTO_FRAGMENT)
            return OTHER;
        if (load(skb, segment->ip + offset, &extension, sizeof(extension)))
            return CUT;
        if (next == IPPROTO_FRAGMENT) {
            piece->id = extension.id;
            piece->fragment = bpf_ntohs(extension.fragment) & 0xfff9;
            offset += 8;
        } else if (next == IPPROTO_AH) {
            offset += (extension.length + 2) * 4;
        } else {
            offset += (extension.length + 1) * 8;
        }
        next = extension.next;
        /* Behind its header a later fragment has data only. */
        if (piece->fragment >> 3)
            break;
    }
    if (next != transport)
        return OTHER;
    segment->family = AF_INET6;
    /* 0 is a jumbogram: the caller asks the skb. */
    segment->length = ip.payload_len ? bpf_ntohs(ip.payload_len) + sizeof(ip) : 0;
    segment->tcp_offset = offset;
    return SEGMENT;
}

/*
 * From the network header, behind VLAN tags, to the header of `transport`: `segment` has what IP
 * says, the rest is 0. Also for a fragment that is not the first, where no such header is.
 */
static __always_inline enum parsed parse_ip(struct __sk_buff *skb, struct segment *segment,
                                            __u8 transport, struct piece *piece) {
    __be16 protocol = skb->protocol;
    __builtin_memset(segment, 0, sizeof(*segment));
    __builtin_memset(piece, 0, sizeof(*piece));
#pragma unroll
    for (int i = 0; i < MAX_VLAN_TAGS; i++) {
        if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
            break;
        if (load(skb, segment->ip + 2, &protocol, sizeof(protocol)))
            return CUT;
        segment->ip += 4;
    }
    if (protocol == bpf_htons(ETH_P_IP))
        return parse_ip4(skb, segment, transport, piece);
    if (protocol == bpf_htons(ETH_P_IPV6))
        return parse_ip6(skb, segment, transport, piece);
    return OTHER;
}

static __always_inline enum parsed parse_once(struct __sk_buff *skb, struct segment *segment) {
    struct piece piece;
    enum parsed result = parse_ip(skb, segment, IPPROTO_TCP, &piece);
    if (result != SEGMENT)
        return result;
    if (piece.fragment >> 3)
        return FRAGMENT;
    struct tcphdr tcp;
    if (load(skb, segment->ip + segment->tcp_offset, &tcp, sizeof(tcp)))
        return CUT;
    segment->source_port = tcp.source;
    segment->destination_port = tcp.dest;
    segment->seq = bpf_ntohl(tcp.seq);
    segment->ack = bpf_ntohl(tcp.ack_seq);
    segment->flags = ((__u8 *)&tcp)[13];
    segment->payload_offset = segment->tcp_offset + tcp.doff * 4;
    if (!segment->length) /* BIG TCP */
        segment->length = skb->len - network_offset(skb) - segment->ip;
    if (tcp.doff < 5 || segment->payload_offset > segment->length)
        return OTHER;
    return SEGMENT;
}

/* Drivers may leave headers outside of the linear part of the skb; then it is pulled in once. */
static __always_inline enum parsed parse(struct __sk_buff *skb, struct segment *segment) {
    enum parsed result = OTHER;
#pragma nounroll
    for (int i = 0; i < 2; i++) {
        result = parse_once(skb, segment);
        if (result != CUT)
            break;
        __u32 length = skb->len;
        if (bpf_skb_pull_data(skb, length < HEADER_BYTES ? length : HEADER_BYTES))
            break;
    }
    return result;
}

/* IPv4: the first 4 bytes, the rest 0. */
struct addresses {
    __u8 source[16];
    __u8 destination[16];
};

/* Apart from `parse`, because most packets are told by their ports. Returns 0, or -1 on failure. */
static __always_inline int read_addresses(struct __sk_buff *skb, const struct segment *segment,
                                          struct addresses *addresses) {
    if (segment->family == AF_INET6)
        return load(skb, segment->ip + offsetof(struct ipv6hdr, saddr), addresses,
                    sizeof(*addresses));
    __u32 both[2];
    if (load(skb, segment->ip + offsetof(struct iphdr, saddr), both, sizeof(both)))
        return -1;
    __builtin_memset(addresses, 0, sizeof(*addresses));
    __builtin_memcpy(addresses->source, &both[0], 4);
    __builtin_memcpy(addresses->destination, &both[1], 4);
    return 0;
}

#endif
