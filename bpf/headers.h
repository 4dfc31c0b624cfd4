/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From a response to a record with its headers in the ring of this CPU, or to a count. */
#ifndef XCOPY_HEADERS_H
#define XCOPY_HEADERS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "parse.h"
#include "record.h"
#include "ring.h"
#include "state.h"

#define MAX_HEADERS 128

static __always_inline void capture_headers(struct __sk_buff *skb, const struct segment *segment,
                                            __u32 index, __u64 now_us) {
    if (segment->payload_offset > MAX_HEADERS) {
        add(OVERSIZE, 1);
        return;
    }
    void *ring = ring_of_this_cpu();
    if (!ring)
        return;
    struct record header = {
        .time_us = now_us,
        .think_us = 0xffffffff,
        .length = segment->length,
        .captured = segment->payload_offset,
        .tcp_offset = segment->tcp_offset,
        .payload_offset = segment->payload_offset,
        .index = index,
        .ifindex = skb->ifindex,
    };
    int result = put(skb, ring, &header, network_offset(skb) + segment->ip, MAX_HEADERS);
    if (result < 0) {
        add(RESPONSE_RING_FULL, 1);
    } else if (!result) {
        add(RESPONSES_CAPTURED, 1);
        add(RESPONSE_BYTES, segment->length);
    }
}

#endif
