/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Flows that are copies': learned from a marked SYN, or proved by an answer. One stays in the map
 * when its copy is gone for good, as the target may have the connection for days: then it is
 * withdrawn, its answers pass, and only a new SYN of a copy may still get to it. The first SYN of
 * anybody else ends that.
 */
#ifndef XCOPY_LEARNED_H
#define XCOPY_LEARNED_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../record/state.h"
#include "flow.h"

/* In the value of a flow: what stands for its copy, whose lowest bits are a slot
 * (src/intercept/data-plane/copies.ts). */
#define OWNER 0x07ffffff
#define SLOTS 1024
/* The owner of flows of an earlier intercept: they are of copies, nobody knows of which. It has a
 * slot of its own. */
#define FORMER OWNER
/* The copy of the flow reads payload. */
#define WITH_PAYLOAD 0x40000000
/* Anybody's SYN may have begun the connection: a tcpcopy had registered the flow, which tells no
 * numbers. */
#define UNPROVED 0x20000000

/* From a flow to its value. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1);
    __type(key, struct flow);
    __type(value, __u32);
} learned SEC(".maps");

/*
 * The owner that a slot has now, without the slot: what others had of it before is withdrawn. Of
 * FORMER whether it is over. A flow's value is not changed for that: user space could not, without
 * taking it from a copy that has just learned it anew.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLOTS + 1);
    __type(key, __u32);
    __type(value, __u32);
} owners SEC(".maps");

/* Whether the copy of a flow with this value may still be there. */
static __always_inline int is_owned(__u32 value) {
    __u32 owner = value & OWNER;
    __u32 slot = owner == FORMER ? SLOTS : owner % SLOTS;
    __u32 *now = bpf_map_lookup_elem(&owners, &slot);
    return now && *now == (owner == FORMER ? 0 : owner - slot);
}

/* Whether a flow is a copy's; then sets its value. */
static __always_inline int is_learned(const struct flow *flow, __u32 *value) {
    __u32 *found = bpf_map_lookup_elem(&learned, flow);
    if (!found)
        return 0;
    *value = *found;
    return is_owned(*value);
}

/* Whether a copy has begun the connection that this host has of a flow, if it has one: the copy may
 * be gone. */
static __always_inline int was_learned(const struct flow *flow) {
    __u32 *found = bpf_map_lookup_elem(&learned, flow);
    if (!found)
        return 0;
    __u32 value = *found;
    return !(value & UNPROVED) || is_owned(value);
}

/* From now on the flow is a copy's. */
static __always_inline void learn(const struct flow *flow, __u32 value, enum counter counter) {
    bpf_map_update_elem(&learned, flow, &value, BPF_ANY);
    add(counter, 1);
}

#endif
