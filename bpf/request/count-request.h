/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Counts whether the record of a request got into its ring. */
#ifndef XCOPY_COUNT_REQUEST_H
#define XCOPY_COUNT_REQUEST_H

#include <linux/bpf.h>

#include "../packet/parse.h"
#include "../record/state.h"
#include "../record/whole.h"

/* `result`: what `put_whole` returned. */
static __always_inline void count_request(int result, const struct segment *segment) {
    if (result < 0) {
        add(REQUEST_RING_FULL, 1);
    } else if (result) {
        add(result == TOO_LARGE ? OVERSIZE : UNREADABLE, 1);
    } else {
        add(REQUESTS_CAPTURED, 1);
        add(REQUEST_BYTES, segment->length);
    }
}

#endif
