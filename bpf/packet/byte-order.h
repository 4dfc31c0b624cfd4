/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* A number from the wire that is used as an index. */
#ifndef XCOPY_BYTE_ORDER_H
#define XCOPY_BYTE_ORDER_H

#include <linux/types.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/*
 * 16 bits in host order, with bounds that the verifier knows. Before Linux 6.13 it knows none after
 * a byte swap; the mask states them again, and the barrier keeps the compiler from dropping the
 * mask.
 */
static __always_inline __u32 index_of(__be16 value) {
    __u32 number = bpf_ntohs(value);
    barrier_var(number);
    return number & 0xffff;
}

#endif
