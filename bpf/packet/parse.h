/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From a packet, an skb at tc or a frame at XDP, to a TCP segment. */
#ifndef XCOPY_PARSE_H
#define XCOPY_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define MAX_VLAN_TAGS 2
#define MAX_EXTENSION_HEADERS 4
/* More than all headers of a packet that can be parsed normally take. */
#define HEADER_BYTES 512
/* No header that is looked at begins behind it: the verifier wants a bound. */
#define MAX_OFFSET 4095

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_ACK 0x10

/* Offsets are from the IP header, which itself is `ip` bytes behind the beginning of the packet. */
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
    CUT,      /* headers are not among the bytes that can be looked at */
};

/* What can be looked at without a call: the linear part of an skb, or a frame. */
struct bytes {
    const void *start;
    const void *end;
};

/* Of a struct __sk_buff or a struct xdp_md; anew after a call that may change the packet. */
#define bytes_of(packet)                                                                           \
    ((struct bytes){(const void *)(long)(packet)->data, (const void *)(long)(packet)->data_end})

/* `size` bytes from an offset of the packet, or null where it is shorter. */
static __always_inline const void *look(struct bytes bytes, __u32 offset, __u32 size) {
    /* 64 bits and a barrier: what the compiler checks must be the register that it uses. */
    __u64 at = offset;
    barrier_var(at);
    if (at > MAX_OFFSET)
        return 0;
    const void *start = bytes.start + at;
    return start + size > bytes.end ? 0 : start;
}

/*
 * Offset of the network header from skb->data: 14 on Ethernet, 0 where packets come without a MAC
 * header (tun, ipip). The context does not tell. What does not begin like an IP header has a MAC
 * header; else it is where the first bytes of the network header are found.
 */
static __always_inline __u32 network_offset(struct __sk_buff *skb) {
    struct bytes bytes = bytes_of(skb);
    const __u8 *first = look(bytes, 0, 1);
    if (first && *first >> 4 != 4 && *first >> 4 != 6)
        return ETH_HLEN;
    __u64 header[2], data[2];
    if (bpf_skb_load_bytes_relative(skb, 0, header, sizeof(header), BPF_HDR_START_NET))
        return ETH_HLEN;
    if (bpf_skb_load_bytes(skb, ETH_HLEN, data, sizeof(data)))
        return 0;
    return header[0] == data[0] && header[1] == data[1] ? ETH_HLEN : 0;
}

/* What is behind the MAC addresses of a frame; 0 where nothing is. */
static __always_inline __be16 frame_type(struct bytes bytes) {
    const __be16 *type = look(bytes, ETH_HLEN - 2, sizeof(*type));
    return type ? *type : 0;
}

/* As the IP header has it, or a Fragment header; all 0 where there is none. */
struct piece {
    __u32 id;
    __u32 fragment; /* bytes in front of it, and 1 if more follow; 0: the packet is whole */
};

static __always_inline enum parsed parse_ip4(struct bytes bytes, struct segment *segment,
                                             __u8 transport, struct piece *piece) {
    const struct iphdr *ip = look(bytes, segment->ip, sizeof(*ip));
    if (!ip)
        return CUT;
    if (ip->version != 4 || ip->ihl < 5 || ip->protocol != transport)
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

/*
 * 0, which the verifier does not know: to it an offset is then any, and not each of those that
 * extension headers can add up to, one after the other.
 */
volatile __u32 nothing;

static __always_inline enum parsed parse_ip6(struct bytes bytes, struct segment *segment,
                                             __u8 transport, struct piece *piece) {
    const struct ipv6hdr *ip = look(bytes, segment->ip, sizeof(*ip));
    if (!ip)
        return CUT;
    if (ip->version != 6)
        return OTHER;
    __u32 offset = sizeof(*ip);
    __u8 next = ip->nexthdr;
    segment->family = AF_INET6;
    segment->length = ip->payload_len ? bpf_ntohs(ip->payload_len) + sizeof(*ip) : 0;
    for (int i = 0; i < MAX_EXTENSION_HEADERS && next != transport; i++) {
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
            next != IPPROTO_AH && next != IPPROTO_FRAGMENT)
            return OTHER;
        const __u8 *extension = look(bytes, segment->ip + offset, 8);
        if (!extension)
            return CUT;
        if (next == IPPROTO_FRAGMENT) {
            piece->id = *(const __be32 *)(extension + 4);
            piece->fragment = bpf_ntohs(*(const __be16 *)(extension + 2)) & 0xfff9;
            offset += 8;
        } else if (next == IPPROTO_AH) {
            offset += (extension[1] + 2) * 4;
        } else {
            offset += (extension[1] + 1) * 8;
        }
        if (offset > MAX_OFFSET)
            return OTHER;
        offset = (offset + nothing) & MAX_OFFSET;
        next = extension[0];
        /* Behind its header a later fragment has data only. */
        if (piece->fragment >> 3)
            break;
    }
    segment->tcp_offset = offset;
    return next == transport ? SEGMENT : OTHER;
}

/*
 * From the network header at `ip`, behind VLAN tags, to the header of `transport`: `segment` has
 * what IP says, the rest is 0. Also for a fragment that is not the first, where no such header is.
 * A `length` of 0 is that of a jumbogram, which the header does not tell.
 */
static __always_inline enum parsed parse_ip(struct bytes bytes, __u32 ip, __be16 protocol,
                                            struct segment *segment, __u8 transport,
                                            struct piece *piece) {
    __builtin_memset(segment, 0, sizeof(*segment));
    __builtin_memset(piece, 0, sizeof(*piece));
    segment->ip = ip;
#pragma nounroll
    for (int i = 0; i < MAX_VLAN_TAGS; i++) {
        if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
            break;
        const __be16 *type = look(bytes, segment->ip + 2, sizeof(*type));
        if (!type)
            return CUT;
        protocol = *type;
        segment->ip += 4;
    }
    if (protocol == bpf_htons(ETH_P_IP))
        return parse_ip4(bytes, segment, transport, piece);
    if (protocol == bpf_htons(ETH_P_IPV6))
        return parse_ip6(bytes, segment, transport, piece);
    return OTHER;
}

static __always_inline enum parsed parse_tcp(struct bytes bytes, __u32 ip, __be16 protocol,
                                             struct segment *segment) {
    struct piece piece;
    enum parsed result = parse_ip(bytes, ip, protocol, segment, IPPROTO_TCP, &piece);
    if (result != SEGMENT)
        return result;
    if (piece.fragment >> 3)
        return FRAGMENT;
    const struct tcphdr *tcp = look(bytes, segment->ip + segment->tcp_offset, sizeof(*tcp));
    if (!tcp)
        return CUT;
    segment->source_port = tcp->source;
    segment->destination_port = tcp->dest;
    segment->seq = bpf_ntohl(tcp->seq);
    segment->ack = bpf_ntohl(tcp->ack_seq);
    segment->flags = ((const __u8 *)tcp)[13];
    segment->payload_offset = segment->tcp_offset + tcp->doff * 4;
    if (tcp->doff < 5 || (segment->length && segment->payload_offset > segment->length))
        return OTHER;
    return SEGMENT;
}

/* Pulls headers in that a driver has left outside of the linear part of the skb. 0 on success. */
static __always_inline long pull_headers(struct __sk_buff *skb) {
    __u32 length = skb->len;
    return bpf_skb_pull_data(skb, length < HEADER_BYTES ? length : HEADER_BYTES);
}

static __always_inline enum parsed parse(struct __sk_buff *skb, struct segment *segment) {
    enum parsed result = OTHER;
#pragma nounroll
    for (int i = 0; i < 2; i++) {
        result = parse_tcp(bytes_of(skb), network_offset(skb), skb->protocol, segment);
        if (result != CUT || pull_headers(skb))
            break;
    }
    if (result == SEGMENT && !segment->length) /* BIG TCP */
        segment->length = skb->len - segment->ip;
    return result;
}

/* IPv4: the first 4 bytes, the rest 0. */
struct addresses {
    __u8 source[16];
    __u8 destination[16];
};

/* Apart from parsing, because most packets are told by their ports. Returns 0, or -1 on failure. */
static __always_inline int read_addresses(struct bytes bytes, const struct segment *segment,
                                          struct addresses *addresses) {
    if (segment->family == AF_INET6) {
        const struct ipv6hdr *ip = look(bytes, segment->ip, sizeof(*ip));
        if (!ip)
            return -1;
        __builtin_memcpy(addresses->source, &ip->saddr, 16);
        __builtin_memcpy(addresses->destination, &ip->daddr, 16);
        return 0;
    }
    const struct iphdr *ip = look(bytes, segment->ip, sizeof(*ip));
    if (!ip)
        return -1;
    __builtin_memset(addresses, 0, sizeof(*addresses));
    __builtin_memcpy(addresses->source, &ip->saddr, 4);
    __builtin_memcpy(addresses->destination, &ip->daddr, 4);
    return 0;
}

#endif
