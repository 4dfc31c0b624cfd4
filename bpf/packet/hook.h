/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What differs between an skb at tc and a frame at XDP: context fields and helpers. */
#ifndef XCOPY_HOOK_H
#define XCOPY_HOOK_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "parse.h"

/*
 * Where a program runs. Always passed as a constant: the code for the other hooks is left out.
 * AT_XDP_LINEAR is for kernels without bpf_xdp_load_bytes (before 5.18), where a frame is always in
 * one buffer.
 */
enum hook { AT_TC, AT_XDP, AT_XDP_LINEAR };

/* Most bytes that `copy_linear` copies: the verifier takes no offset in a packet above 65535. */
#define MAX_LINEAR 65504
/* Largest offset that it copies from: behind a MAC header with VLAN tags. */
#define MAX_LINEAR_OFFSET 31
#define CHUNK 16

static __always_inline __u32 ifindex_of(void *packet, enum hook hook) {
    return hook == AT_TC ? ((struct __sk_buff *)packet)->ifindex
                         : ((struct xdp_md *)packet)->ingress_ifindex;
}

static __always_inline void copy_chunk(void *to, const void *from) {
    ((__u64 *)to)[0] = ((const __u64 *)from)[0];
    ((__u64 *)to)[1] = ((const __u64 *)from)[1];
}

/*
 * Copies `size` bytes, at least CHUNK and at most MAX_LINEAR, of a frame. 0 on success. The
 * verifier walks through each round of the loop; the barriers hide from it how `last` depends on
 * the number of rounds, so that it checks what follows only once.
 */
static __attribute__((noinline)) long copy_linear(struct xdp_md *frame, __u32 offset, void *to,
                                                  __u64 size) {
    const void *end = bytes_of(frame).end;
    if (offset > MAX_LINEAR_OFFSET || size < CHUNK)
        return -1;
    __u64 start = (offset + nothing) & MAX_LINEAR_OFFSET;
    const void *from = bytes_of(frame).start + start;
    __u64 chunks = size / CHUNK;
    barrier_var(chunks);
    __u64 last = size - CHUNK;
    barrier_var(last);
#pragma nounroll
    for (__u64 i = 0; i < chunks; i++) {
        if (from + i * CHUNK + CHUNK > end)
            return -1;
        copy_chunk(to + i * CHUNK, from + i * CHUNK);
    }
    /* The last chunk overlaps the one before it. */
    if (from + last + CHUNK > end)
        return -1;
    copy_chunk(to + last, from + last);
    return 0;
}

/* Copies from any offset of a packet, also from several buffers. 0 on success. */
static __always_inline long load_bytes(void *packet, enum hook hook, __u32 offset, void *to,
                                       __u64 size) {
    if (hook == AT_XDP_LINEAR)
        return copy_linear(packet, offset, to, size);
    return hook == AT_XDP ? bpf_xdp_load_bytes(packet, offset, to, size)
                          : bpf_skb_load_bytes(packet, offset, to, size);
}

#endif
