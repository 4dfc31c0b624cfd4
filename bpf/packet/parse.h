/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Parses a packet, an skb at tc or a frame at XDP, as a TCP segment. */
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
/* Bytes that are made linear for parsing: more than the headers of a packet normally take. */
#define HEADER_BYTES 512
/* Largest offset of a header: the verifier needs a bound. */
#define MAX_OFFSET 4095

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_ACK 0x10

/* A parsed packet. Offsets are from the IP header, which is `ip` bytes from the packet's start. */
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
    __u8 is_fragment; /* the first one: its payload ends before that of the segment */
};

enum parsed {
    SEGMENT,
    OTHER,    /* not TCP, or malformed */
    FRAGMENT, /* TCP, but not the fragment with the header */
    CUT,      /* a header is outside the bytes that can be read directly */
};

/* The bytes that a program may read directly: the linear part of an skb or a frame. */
struct bytes {
    const void *start;
    const void *end;
};

/* For a struct __sk_buff or a struct xdp_md. Must be read again after bpf_skb_pull_data. */
#define bytes_of(packet)                                                                           \
    ((struct bytes){(const void *)(long)(packet)->data, (const void *)(long)(packet)->data_end})

/* Pointer to `size` bytes at an offset of the packet; null if the packet does not have them. */
static __always_inline const void *look(struct bytes bytes, __u32 offset, __u32 size) {
    /* 64 bits and a barrier, so that the register that is checked is also the one that is used. */
    __u64 at = offset;
    barrier_var(at);
    if (at > MAX_OFFSET)
        return 0;
    const void *start = bytes.start + at;
    return start + size > bytes.end ? 0 : start;
}

/*
 * Offset of the network header from skb->data: 14 on Ethernet, 0 where packets come without a MAC
 * header (tun, ipip). The context does not say which. Data that does not begin like an IP header
 * has a MAC header. Otherwise the bytes at 14 are compared with those of the network header.
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

/* EtherType of a frame (network order); 0 if the frame is too short. */
static __always_inline __be16 frame_type(struct bytes bytes) {
    const __be16 *type = look(bytes, ETH_HLEN - 2, sizeof(*type));
    return type ? *type : 0;
}

/* From the IPv4 header, or from the IPv6 Fragment header; all 0 where there is none. */
struct piece {
    __u32 id;
    __u32 fragment;  /* offset in bytes, plus 1 if more fragments follow; 0: not a fragment */
    __u32 transport; /* IPPROTO_TCP or IPPROTO_UDP */
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
 * Always 0, which the verifier does not know. Where it is added to an offset, the verifier takes
 * that for any value, and does not check each possible sum of extension headers by itself.
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
        /* A later fragment has only data after its Fragment header. */
        if (piece->fragment >> 3)
            break;
    }
    segment->tcp_offset = offset;
    return next == transport ? SEGMENT : OTHER;
}

/*
 * Parses VLAN tags and the IP header, from offset `ip` on, where `protocol` is the EtherType, up to
 * the header of `transport`. Sets what IP says in `segment`, and the rest to 0. Accepts later
 * fragments, which have no such header. `length` is 0 where the IP header does not have it (BIG
 * TCP, jumbograms).
 */
static __always_inline enum parsed parse_ip(struct bytes bytes, __u32 ip, __be16 protocol,
                                            struct segment *segment, __u8 transport,
                                            struct piece *piece) {
    __builtin_memset(segment, 0, sizeof(*segment));
    __builtin_memset(piece, 0, sizeof(*piece));
    piece->transport = transport;
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
    segment->is_fragment = piece.fragment != 0;
    segment->payload_offset = segment->tcp_offset + tcp->doff * 4;
    if (tcp->doff < 5 || (segment->length && segment->payload_offset > segment->length))
        return OTHER;
    return SEGMENT;
}

/* Makes headers linear that a driver has left outside the skb's linear part. 0 on success. */
static __always_inline long pull_headers(struct __sk_buff *skb) {
    __u32 length = skb->len;
    return bpf_skb_pull_data(skb, length < HEADER_BYTES ? length : HEADER_BYTES);
}

/* Parses a TCP segment. Only SEGMENT says that all of `segment` is set. */
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

/* In network order. IPv4: the first 4 bytes, the rest 0. */
struct addresses {
    __u8 source[16];
    __u8 destination[16];
};

/* Not part of parsing, because most packets need only a look at the port. 0, or -1 on failure. */
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
