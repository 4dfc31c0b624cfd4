/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Parses an Ethernet frame at XDP as a TCP segment. */
#ifndef XCOPY_FRAME_H
#define XCOPY_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "hook.h"
#include "parse.h"

/* Bytes of a frame, those in other buffers included. */
static __always_inline __u32 frame_length(struct xdp_md *frame, enum hook hook) {
    if (hook == AT_XDP)
        return bpf_xdp_get_buff_len(frame);
    struct bytes bytes = bytes_of(frame);
    return bytes.end - bytes.start;
}

/* As `parse`. Above 64 KiB (generic XDP with BIG TCP) the length is that of the frame. */
static __always_inline enum parsed parse_frame(struct xdp_md *frame, enum hook hook,
                                               struct segment *segment) {
    enum parsed result = parse_tcp(bytes_of(frame), ETH_HLEN, frame_type(bytes_of(frame)), segment);
    if (result == SEGMENT && !segment->length)
        segment->length = frame_length(frame, hook) - segment->ip;
    return result;
}

#endif
