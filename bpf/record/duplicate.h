/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Recognises a packet that crosses several interfaces, so that it is captured once. */
#ifndef XCOPY_DUPLICATE_H
#define XCOPY_DUPLICATE_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"

#define DUPLICATE_SLOTS 4096
#define DUPLICATE_WINDOW_US 1000000
/*
 * Of datagrams shorter: nothing tells a client's repetition from the datagram itself (the
 * identification is 0 where they may not be fragmented), and it may come in by the other leg of a
 * bond. One packet crosses all interfaces within microseconds, but for a stall of the CPU.
 */
#define DATAGRAM_WINDOW_US 50000
#define MOST_CROSSED 3

/* Another interface, and how many of the same packets crossed it. */
struct crossed {
    __u32 ifindex; /* 0: none yet */
    __u32 times;
};

/* What a captured packet is recognised by on the next interface that it crosses. */
struct packet_seen {
    __u32 hash;
    __u32 seq;
    __u32 ack;
    __u32 length;
    __u32 id_and_flags;
    __u32 ifindex;
    __u32 time_us;
    __u32 times; /* how many came in by `ifindex` */
    struct crossed others[MOST_CROSSED];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, DUPLICATE_SLOTS);
    __type(key, __u32);
    __type(value, struct packet_seen);
} packets SEC(".maps");

/* Whether no more of the same packets crossed this interface than the one that captured them. */
static __always_inline int has_crossed(struct packet_seen *seen, __u32 ifindex) {
#pragma unroll
    for (int i = 0; i < MOST_CROSSED; i++) {
        struct crossed *other = &seen->others[i];
        if (!other->ifindex)
            other->ifindex = ifindex;
        if (other->ifindex == ifindex)
            return ++other->times <= seen->times;
    }
    return 1;
}

/*
 * Whether the same packet crossed another interface within the window; if not, notes it.
 * `is_datagram`: it is a whole one of UDP.
 */
static __always_inline int is_duplicate(const struct segment *segment, __u32 hash, __u32 ifindex,
                                        __u32 now_us, int is_datagram) {
    __u32 id_and_flags = (__u32)segment->id << 16 | segment->flags;
    __u32 slot = (hash ^ segment->seq ^ segment->ack) * 0x9e3779b1 >> 20;
    struct packet_seen *seen = bpf_map_lookup_elem(&packets, &slot);
    if (!seen)
        return 0;
    if (seen->hash == hash && seen->seq == segment->seq && seen->ack == segment->ack &&
        seen->length == segment->length && seen->id_and_flags == id_and_flags &&
        now_us - seen->time_us < (is_datagram ? DATAGRAM_WINDOW_US : DUPLICATE_WINDOW_US)) {
        if (seen->ifindex == ifindex) {
            seen->times++;
            seen->time_us = now_us;
            return 0;
        }
        if (!is_datagram || has_crossed(seen, ifindex))
            return 1;
    }
    seen->hash = hash;
    seen->seq = segment->seq;
    seen->ack = segment->ack;
    seen->length = segment->length;
    seen->id_and_flags = id_and_flags;
    seen->ifindex = ifindex;
    seen->time_us = now_us;
    seen->times = 1;
    __builtin_memset(seen->others, 0, sizeof(seen->others));
    return 0;
}

#endif
