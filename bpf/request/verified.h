/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Whether user space need not look at the TCP or UDP checksum of a packet. */
#ifndef XCOPY_VERIFIED_H
#define XCOPY_VERIFIED_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../record/record.h"

/*
 * VERIFIED or 0. A packet of several (GSO, GRO) has no checksum of its own. Of another the helper
 * returns the level up to which it was verified (CHECKSUM_UNNECESSARY), or an error: it was not, or
 * its sender left it to be finished (CHECKSUM_PARTIAL), which a program cannot tell apart.
 */
static __always_inline __u32 verified(struct __sk_buff *skb) {
    return skb->gso_size || bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0 ? VERIFIED : 0;
}

#endif
