/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What all programs count, per CPU; src/capture/counters.ts names them in the same order. */
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
    INERT,           /* would have been captured, but user space stalled */
    UNSAMPLED,       /* of flows that are left out */
    UNREADABLE,      /* without a record: cut short, malformed or not TCP */
    LEARNED,         /* SYNs with a cookie of ours */
    FORGOTTEN,       /* learned flows that somebody else uses now */
    UNKNOWN_COOKIES, /* SYNs with our option and a cookie that is none of ours */
    ICMP_ERRORS,     /* dropped, about flows of ours */
    ABANDONED,       /* requests whose worker has died */
    COUNTERS,
};

struct counters {
    __u64 at[COUNTERS];
};

#endif
