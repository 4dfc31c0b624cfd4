/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Captures a response with its payload, or a prefix of it, for a protocol module of user space. */
#ifndef XCOPY_PAYLOAD_H
#define XCOPY_PAYLOAD_H

#include <linux/bpf.h>

#include "../packet/hook.h"
#include "headers.h"
#include "prefix.h"
#include "whole.h"

/* `prefix`: see prefix.h, not 0. */
static __always_inline void capture_payload(void *packet, enum hook hook,
                                            const struct segment *segment, __u32 index,
                                            __u32 prefix, __u64 now_us, __u32 worker) {
    if (segment->length > most_captured(hook)) {
        add(OVERSIZE, 1);
        return;
    }
    struct record header = whole_record(segment, index, now_us, ifindex_of(packet, hook));
    if (prefix != WHOLE_PAYLOAD)
        header.captured = length_with_prefix(packet, hook, segment, prefix);
    count_response(put_whole(packet, hook, &header, segment, worker), segment);
}

#endif
