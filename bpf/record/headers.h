/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Captures the headers of a response: a record in a ring of its worker, or a count why not. */
#ifndef XCOPY_HEADERS_H
#define XCOPY_HEADERS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/hook.h"
#include "../packet/parse.h"
#include "record.h"
#include "ring.h"
#include "state.h"

#define MAX_HEADERS 128

static __always_inline struct record response_record(const struct segment *segment, __u32 index,
                                                     __u64 now_us, __u32 ifindex) {
    return (struct record){
        .time_us = now_us,
        .think_us = 0xffffffff,
        .length = segment->length,
        .captured = segment->payload_offset,
        .tcp_offset = segment->tcp_offset,
        .payload_offset = segment->payload_offset,
        .index = index,
        .ifindex = ifindex,
    };
}

/* `result`: what `put` returned. */
static __always_inline void count_response(int result, const struct segment *segment) {
    if (result < 0) {
        add(RESPONSE_RING_FULL, 1);
    } else if (result) {
        add(UNREADABLE, 1);
    } else {
        add(RESPONSES_CAPTURED, 1);
        add(RESPONSE_BYTES, segment->length);
    }
}

static __always_inline void capture_headers(void *packet, enum hook hook,
                                            const struct segment *segment, __u32 index,
                                            __u64 now_us, __u32 worker) {
    if (segment->payload_offset > MAX_HEADERS) {
        add(OVERSIZE, 1);
        return;
    }
    void *ring = ring_of_this_cpu(worker);
    if (!ring)
        return;
    struct record header = response_record(segment, index, now_us, ifindex_of(packet, hook));
    count_response(put(packet, hook, ring, worker, &header, segment->ip, MAX_HEADERS), segment);
}

#endif
