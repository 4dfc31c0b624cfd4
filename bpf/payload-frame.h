/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* As payload.h, from a frame at XDP. */
#ifndef XCOPY_PAYLOAD_FRAME_H
#define XCOPY_PAYLOAD_FRAME_H

#include <linux/bpf.h>

#include "headers.h"
#include "whole-frame.h"
#include "worker.h"

/* `segment` must fit into a record: at most MAX_CAPTURE. */
static __always_inline void capture_whole_frame(struct xdp_md *frame, const struct segment *segment,
                                                __u32 index, __u64 now_us) {
    struct record header = whole_record(segment, index, now_us, frame->ingress_ifindex);
    count_response(put_whole_frame(frame, &header, segment, ONLY_WORKER), segment);
}

#endif
