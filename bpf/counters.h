/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What both programs count, per CPU; src/capture/kernel.ts names them in the same order. */
#ifndef XCOPY_COUNTERS_H
#define XCOPY_COUNTERS_H

enum counter {
    REQUESTS_CAPTURED,
    REQUEST_BYTES,
    REQUEST_RING_FULL,
    PURE_ACKS,  /* stayed in the kernel */
    DUPLICATES, /* seen on another interface before */
    FRAGMENTS,  /* TCP fragments without a TCP header */
    OVERSIZE,   /* requests above 65535 bytes, responses with more than 128 bytes of headers */
    OWN_MARK,
    RESPONSES_CAPTURED,
    RESPONSE_BYTES,
    RESPONSE_RING_FULL,
    INERT,     /* would have been captured, but user space stalled */
    UNSAMPLED, /* of flows that are left out */
    COUNTERS,
};

struct counters {
    __u64 at[COUNTERS];
};

#endif
