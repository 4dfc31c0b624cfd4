/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From an Ethernet frame at XDP to a record with all of its packet in the ring of this CPU. */
#ifndef XCOPY_WHOLE_FRAME_H
#define XCOPY_WHOLE_FRAME_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "frame.h"
#include "parse.h"
#include "record.h"
#include "ring.h"
#include "whole.h"

/* As `put`, of frames in several buffers too (Linux 5.18). */
static __always_inline int put_bytes(struct xdp_md *frame, void *ring, __u32 worker,
                                     const struct record *header, __u32 offset, const __u32 space) {
    struct record *record = bpf_ringbuf_reserve(ring, sizeof(*record) + space, 0);
    if (!record)
        return -1;
    __builtin_memcpy(record, header, sizeof(*record));
    __u64 captured = header->captured;
    barrier_var(captured);
    if (captured > space)
        goto malformed;
    barrier_var(captured);
    if (!captured || bpf_xdp_load_bytes(frame, offset, record + 1, captured))
        goto malformed;
    bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    wake(ring, worker);
    return 0;

malformed:
    bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    return 1;
}

static __always_inline int put_sized(struct xdp_md *frame, void *ring, __u32 worker,
                                     const struct record *header, __u32 offset) {
    __u32 bytes = header->captured;
#define UP_TO(space)                                                                               \
    if (bytes <= (space))                                                                          \
    return put_bytes(frame, ring, worker, header, offset, space)
    UP_TO(128);
    UP_TO(256);
    UP_TO(512);
    UP_TO(1024);
    UP_TO(1600);
    UP_TO(4096);
    UP_TO(9216);
    UP_TO(65536);
#undef UP_TO
    return 1;
}

/* As `put_whole`. */
static __always_inline int put_whole_frame(struct xdp_md *frame, const struct record *header,
                                           const struct segment *segment, __u32 worker) {
    void *ring = ring_of_this_cpu(worker);
    if (!ring)
        return 1;
    int result = put_sized(frame, ring, worker, header, segment->ip);
    if (result < 0)
        count_lost(header->ifindex);
    return result;
}

#endif
