/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Remembers which IP packets in fragments are ours: only the first fragment has the ports. */
#ifndef XCOPY_FRAGMENTED_H
#define XCOPY_FRAGMENTED_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "parse.h"

/* How many packets are remembered, and for how long: fragments follow each other closely. */
#define FRAGMENTED 4096
#define FRAGMENTED_WINDOW_US 1000000

/* What all fragments of a packet have in common. */
struct fragmented {
    struct addresses addresses;
    __u32 id;
    __u32 transport;
};

struct first_fragment {
    __u32 time_us;
    __u32 is_ours;
    __u32 worker; /* of its flow: TCP only */
};

/* The packets whose first fragment has come. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, FRAGMENTED);
    __type(key, struct fragmented);
    __type(value, struct first_fragment);
} fragmented SEC(".maps");

static __always_inline struct fragmented fragmented_key(const struct addresses *addresses,
                                                        const struct piece *piece) {
    struct fragmented key = {.id = piece->id, .transport = piece->transport};
    __builtin_memcpy(&key.addresses, addresses, sizeof(*addresses));
    return key;
}

/* When the first fragment comes: remembers whether the later ones are ours. */
static __always_inline void remember_first_fragment(const struct addresses *addresses,
                                                    const struct piece *piece, int is_ours,
                                                    __u32 worker, __u32 now_us) {
    struct fragmented key = fragmented_key(addresses, piece);
    struct first_fragment first = {.time_us = now_us, .is_ours = is_ours, .worker = worker};
    bpf_map_update_elem(&fragmented, &key, &first, BPF_ANY);
}

/* What is known of the first fragment of a packet; null if it has not come. */
static __always_inline struct first_fragment *
find_first_fragment(const struct addresses *addresses, const struct piece *piece, __u32 now_us) {
    struct fragmented key = fragmented_key(addresses, piece);
    struct first_fragment *first = bpf_map_lookup_elem(&fragmented, &key);
    return first && now_us - first->time_us < FRAGMENTED_WINDOW_US ? first : 0;
}

/* Whether a later fragment is ours, as its first one was; `otherwise` if that has not come. */
static __always_inline int recall_first_fragment(const struct addresses *addresses,
                                                 const struct piece *piece, __u32 now_us,
                                                 int otherwise) {
    struct first_fragment *first = find_first_fragment(addresses, piece, now_us);
    return first ? first->is_ours : otherwise;
}

#endif
