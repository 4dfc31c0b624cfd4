/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What all programs count, per CPU; src/capture/counters.ts names them in the same order. */
#ifndef XCOPY_COUNTERS_H
#define XCOPY_COUNTERS_H

enum counter {
    REQUESTS_CAPTURED,
    REQUEST_BYTES,
    REQUEST_RING_FULL,
    PURE_ACKS,  /* not captured */
    DUPLICATES, /* seen on another interface before */
    FRAGMENTS,  /* of TCP, not captured: of answers, or before the first one */
    OVERSIZE,   /* larger than a record can be; headers above 128 bytes if only these are taken */
    OWN_MARK,
    RESPONSES_CAPTURED,
    RESPONSE_BYTES,
    RESPONSE_RING_FULL,
    INERT,           /* would have been captured, but user space stalled */
    UNSAMPLED,       /* of flows that are left out */
    UNREADABLE,      /* could not be captured: cut short, malformed or not TCP */
    LEARNED,         /* SYNs with a cookie of ours */
    FORGOTTEN,       /* learned flows whose addresses and ports a real client uses now */
    UNKNOWN_COOKIES, /* SYNs with our option and a cookie that is none of ours */
    ICMP_ERRORS,     /* dropped by an intercept */
    ABANDONED,       /* requests whose worker has died */
    FORWARDED,       /* to a service's port at an address that is not this host's */
    CONFIRMED, /* registered flows that a SYN of the copy or an answer of the target has proved */
    REFUSED,   /* SYNs with a cookie of ours, of connections that are somebody else's: dropped */
    OUTGOING_CAPTURED, /* what services sent */
    OUTGOING_BYTES,
    OUTGOING_RING_FULL,
    COUNTERS,
};

struct counters {
    __u64 at[COUNTERS];
};

#endif
