/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Recognises a packet that crosses several interfaces, so that it is captured once. */
#ifndef XCOPY_DUPLICATE_H
#define XCOPY_DUPLICATE_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"

#define DUPLICATE_SLOTS 4096
#define DUPLICATE_WINDOW_US 1000000

/* What a captured packet is recognised by on the next interface that it crosses. */
struct packet_seen {
    __u32 hash;
    __u32 seq;
    __u32 ack;
    __u32 length;
    __u32 id_and_flags;
    __u32 ifindex;
    __u32 time_us;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, DUPLICATE_SLOTS);
    __type(key, __u32);
    __type(value, struct packet_seen);
} packets SEC(".maps");

/* Whether the same packet crossed another interface within the last second; if not, notes it. */
static __always_inline int is_duplicate(const struct segment *segment, __u32 hash, __u32 ifindex,
                                        __u32 now_us) {
    __u32 id_and_flags = (__u32)segment->id << 16 | segment->flags;
    __u32 slot = (hash ^ segment->seq ^ segment->ack) * 0x9e3779b1 >> 20;
    struct packet_seen *seen = bpf_map_lookup_elem(&packets, &slot);
    if (!seen)
        return 0;
    if (seen->hash == hash && seen->seq == segment->seq && seen->ack == segment->ack &&
        seen->length == segment->length && seen->id_and_flags == id_and_flags &&
        seen->ifindex != ifindex && now_us - seen->time_us < DUPLICATE_WINDOW_US)
        return 1;
    seen->hash = hash;
    seen->seq = segment->seq;
    seen->ack = segment->ack;
    seen->length = segment->length;
    seen->id_and_flags = id_and_flags;
    seen->ifindex = ifindex;
    seen->time_us = now_us;
    return 0;
}

#endif
