/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Which flows to the targets are ours, where copies are sent from this host's own addresses. */
#ifndef XCOPY_PATH_H
#define XCOPY_PATH_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FLOW_WORDS (65536 / 64)

struct path {
    __u8 target[16];
    __u8 local[16];
    __be16 target_port;
    __u16 family;
};

/* What is captured of the responses on a path; `prefix`: see prefix.h, 0: their headers. */
struct answers {
    __u32 index;
    __u32 prefix;
};

/* A bit per path and local port (host order): the flows that are ours. Written by user space
 * through mmap. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, FLOW_WORDS);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(".maps");

static __always_inline int is_ours(__u32 path, __be16 port) {
    __u32 number = bpf_ntohs(port);
    __u32 word = path * FLOW_WORDS + number / 64;
    __u64 *bits = bpf_map_lookup_elem(&flows, &word);
    return bits && *bits >> number % 64 & 1;
}

#endif
