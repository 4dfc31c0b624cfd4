/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The maps that all programs have: `control` with heartbeat and sampling, and the counters. */
#ifndef XCOPY_STATE_H
#define XCOPY_STATE_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "counters.h"
#include "record.h"

/* Verdicts, the same for tcx (TCX_NEXT, TCX_DROP) and for clsact in direct-action mode. */
#define PASS (-1)
#define DROP 2

/* A heartbeat may be newer than the time that we read before it. It must not look 49 days old. */
#define HEARTBEAT_SLACK_MS 1000

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct control);
} control SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counters);
} counters SEC(".maps");

static __always_inline void add(enum counter counter, __u64 amount) {
    __u32 zero = 0;
    struct counters *values = bpf_map_lookup_elem(&counters, &zero);
    if (values)
        values->at[counter] += amount;
}

/* Whether the client flow with this hash is left out by sampling. */
static __always_inline int is_left_out(__u32 hash, __u32 worker) {
    volatile struct control *shared = bpf_map_lookup_elem(&control, &worker);
    return shared && hash < shared->left_out;
}

/* Whether a worker's heartbeat is recent; if not, nothing is captured for it. */
static __always_inline int alive(__u64 now_us, __u32 worker) {
    volatile struct control *shared = bpf_map_lookup_elem(&control, &worker);
    if (!shared)
        return 0;
    __u32 age_ms = (__u32)(now_us / 1000) - shared->heartbeat_ms + HEARTBEAT_SLACK_MS;
    return age_ms <= HEARTBEAT_LIMIT_MS + HEARTBEAT_SLACK_MS;
}

/* Whether a worker that is not alive has died, and is not only stalled. */
static __always_inline int is_dead(__u32 worker) {
    volatile struct control *shared = bpf_map_lookup_elem(&control, &worker);
    return shared && shared->is_dead;
}

#endif
