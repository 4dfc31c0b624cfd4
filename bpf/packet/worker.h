/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Which worker of user space a flow belongs to: the same in both directions, in every program. */
#ifndef XCOPY_WORKER_H
#define XCOPY_WORKER_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

/*
 * How many there are, set by user space before the program is loaded. In a section of its own,
 * so that user space can set it without the constants of record/settings.h. A constant, so that the
 * verifier removes the code for several workers where there is one.
 */
const volatile __u32 workers SEC(".rodata.workers") = 1;

/* The worker of programs that always have exactly one. */
#define ONLY_WORKER 0

/*
 * The worker of a client's connection. It depends only on the client's address and port: where
 * copies use these as their own source, two workers never use the same. As src/wire/shard.ts.
 */
static __always_inline __u32 worker_of_client(const struct addresses *addresses, __be16 port) {
    if (workers == 1)
        return ONLY_WORKER;
    const __u32 *words = (const __u32 *)addresses->source;
    __u32 hash = bpf_ntohl(words[0] ^ words[1] ^ words[2] ^ words[3]);
    hash ^= bpf_ntohs(port) * 0x9e3779b1;
    /* The finalizer of MurmurHash3. */
    hash = (hash ^ hash >> 16) * 0x85ebca6b;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35;
    hash ^= hash >> 16;
    return (__u64)hash * workers >> 32;
}

/* The worker that opened a connection from this local port. */
static __always_inline __u32 worker_of_port(__be16 port) {
    return workers == 1 ? ONLY_WORKER : bpf_ntohs(port) % workers;
}

#endif
