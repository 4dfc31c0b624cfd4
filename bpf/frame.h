/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From an Ethernet frame at XDP to a TCP segment, and to a record with its headers. */
#ifndef XCOPY_FRAME_H
#define XCOPY_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "headers.h"
#include "parse.h"
#include "record.h"
#include "ring.h"
#include "state.h"

/* As `parse`. */
static __always_inline enum parsed parse_frame(struct xdp_md *frame, struct segment *segment) {
    enum parsed result = parse_tcp(bytes_of(frame), ETH_HLEN, frame_type(bytes_of(frame)), segment);
    return result == SEGMENT && !segment->length ? OTHER : result;
}

/* As `put`, with MAX_HEADERS of space. All headers are multiples of 4 bytes. */
static __always_inline int put_frame(struct xdp_md *frame, void *ring, const struct record *header,
                                     __u32 offset) {
    struct record *record = bpf_ringbuf_reserve(ring, sizeof(*record) + MAX_HEADERS, 0);
    if (!record)
        return -1;
    __builtin_memcpy(record, header, sizeof(*record));
    __u32 *to = (__u32 *)(record + 1);
#pragma nounroll
    for (__u32 i = 0; i < MAX_HEADERS / 4; i++) {
        if (i * 4 >= header->captured)
            break;
        const __u32 *word = look(bytes_of(frame), offset + i * 4, 4);
        if (!word)
            goto malformed;
        to[i] = *word;
    }
    bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    wake(ring, ONLY_WORKER);
    return 0;

malformed:
    bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    return 1;
}

static __always_inline void capture_frame_headers(struct xdp_md *frame,
                                                  const struct segment *segment, __u32 index,
                                                  __u64 now_us) {
    if (segment->payload_offset > MAX_HEADERS) {
        add(OVERSIZE, 1);
        return;
    }
    void *ring = ring_of_this_cpu(ONLY_WORKER);
    if (!ring)
        return;
    struct record header = response_record(segment, index, now_us, frame->ingress_ifindex);
    count_response(put_frame(frame, ring, &header, segment->ip), segment);
}

#endif
