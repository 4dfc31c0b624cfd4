/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the services send, as records of the requests of the same clients. */
#ifndef XCOPY_TURNED_H
#define XCOPY_TURNED_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"
#include "../record/local.h"
#include "../record/prefix.h"
#include "../record/service.h"
#include "../record/settings.h"
#include "../record/state.h"
#include "../record/whole.h"

/* By index of a service: see prefix.h; 0, or none: as much as `snaplen` says. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} prefixes SEC(".maps");

/* Swaps source and destination, so that they are those of a request of the same client. */
static __always_inline void turn_around(struct segment *segment, struct addresses *addresses) {
    struct addresses turned;
    __builtin_memcpy(turned.source, addresses->destination, sizeof(turned.source));
    __builtin_memcpy(turned.destination, addresses->source, sizeof(turned.destination));
    *addresses = turned;
    __be16 port = segment->source_port;
    segment->source_port = segment->destination_port;
    segment->destination_port = port;
}

/* Whether other hosts have sent a packet, turned around, and it only passes through this one. */
static __always_inline int passes_through(const struct service *key,
                                          const struct addresses *addresses) {
    return only_local && has_any_address(key) && !is_local(addresses, key->family);
}

/* Whether the worker that a packet is for lives; counts where not. */
static __always_inline int may_capture(__u64 now_us, __u32 worker) {
    if (alive(now_us, worker))
        return 1;
    if (!is_dead(worker))
        add(INERT, 1);
    return 0;
}

/* Whether nobody but a comparison reads what is captured so: a login is decided by less. */
static __always_inline int is_only_compared(__u32 prefix) {
    return prefix & TAKES_HEADS || (prefix & WHOLE_PAYLOAD) > HEAD_BYTES;
}

/* Whether the ring has no room to spare: what is left of it is for requests. */
static __always_inline int is_half_full(__u32 worker) {
    void *ring = ring_of_this_cpu(worker);
    return ring && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) * 2 >
                       bpf_ringbuf_query(ring, BPF_RB_RING_SIZE);
}

/* `length`: bytes of the IP packet, of a fragment those of all of it; `think_us`: see record.h. */
static __always_inline void capture_outgoing(struct __sk_buff *skb, const struct segment *segment,
                                             __u32 index, __u32 length, __u32 think_us,
                                             __u64 now_us, __u32 worker) {
    struct record header = whole_record(segment, index | OUTGOING, now_us, skb->ifindex);
    header.length = length;
    header.think_us = think_us;
    __u32 *prefix = bpf_map_lookup_elem(&prefixes, &index);
    if (prefix && *prefix) {
        header.captured = length_with_prefix(skb, AT_TC, segment, *prefix);
        if (is_only_compared(*prefix) && is_half_full(worker)) {
            add(OUTGOING_RING_FULL, 1);
            return;
        }
    }
    int result = put_whole(skb, AT_TC, &header, segment, worker);
    if (result < 0) {
        add(OUTGOING_RING_FULL, 1);
    } else if (result) {
        add(UNREADABLE, 1);
    } else {
        add(OUTGOING_CAPTURED, 1);
        add(OUTGOING_BYTES, segment->length);
    }
}

#endif
