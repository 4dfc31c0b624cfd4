/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Parses an Ethernet frame at XDP as a TCP segment. */
#ifndef XCOPY_FRAME_H
#define XCOPY_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "parse.h"

/* As `parse`; a packet whose IP header has no length is OTHER. */
static __always_inline enum parsed parse_frame(struct xdp_md *frame, struct segment *segment) {
    enum parsed result = parse_tcp(bytes_of(frame), ETH_HLEN, frame_type(bytes_of(frame)), segment);
    return result == SEGMENT && !segment->length ? OTHER : result;
}

#endif
