/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Captures a response with its payload, for a protocol module of user space. */
#ifndef XCOPY_PAYLOAD_H
#define XCOPY_PAYLOAD_H

#include <linux/bpf.h>

#include "../packet/hook.h"
#include "headers.h"
#include "whole.h"

static __always_inline void capture_whole(void *packet, enum hook hook,
                                          const struct segment *segment, __u32 index, __u64 now_us,
                                          __u32 worker) {
    if (segment->length > most_captured(hook)) {
        add(OVERSIZE, 1);
        return;
    }
    struct record header = whole_record(segment, index, now_us, ifindex_of(packet, hook));
    count_response(put_whole(packet, hook, &header, segment, worker), segment);
}

#endif
