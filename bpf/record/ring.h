/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Puts a record and bytes of a packet into the ring that this CPU has for a worker. */
#ifndef XCOPY_RING_H
#define XCOPY_RING_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/hook.h"
#include "../packet/worker.h"
#include "record.h"
#include "state.h"

/*
 * One ring buffer per possible CPU and worker, those of a CPU next to each other. User space
 * creates them when it loads the program, and chooses their size.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} rings SEC(".maps");

static __always_inline void *ring_of_this_cpu(__u32 worker) {
    __u32 index = bpf_get_smp_processor_id() * workers + worker;
    return bpf_map_lookup_elem(&rings, &index);
}

/*
 * Wakes a worker if it waits. Must come after the record's submit, which is a full barrier. User
 * space looks at the rings once more after it has set `waiting`: so either it finds the record, or
 * we find `waiting`. The record was submitted without a wakeup, so an empty one does that.
 */
static __always_inline void wake(void *ring, __u32 worker) {
    volatile struct control *shared = bpf_map_lookup_elem(&control, &worker);
    if (!shared || !shared->waiting)
        return;
    void *nothing = bpf_ringbuf_reserve(ring, 8, 0);
    if (!nothing)
        return;
    shared->waiting = 0;
    bpf_ringbuf_discard(nothing, BPF_RB_FORCE_WAKEUP);
}

/*
 * Puts the record and its `captured` bytes, from `offset` of the packet on, into a ring of the
 * worker. `space`: bytes to reserve for them, a constant, as the verifier requires. Returns 0, or
 * -1 if the ring is full, or 1 if the packet is shorter than its headers say.
 */
static __always_inline int put(void *packet, enum hook hook, void *ring, __u32 worker,
                               const struct record *header, __u32 offset, const __u32 space) {
    struct record *record = bpf_ringbuf_reserve(ring, sizeof(*record) + space, 0);
    if (!record)
        return -1;
    __builtin_memcpy(record, header, sizeof(*record));
    /*
     * 64 bits and barriers, so that the register that is checked is also the one that is used. One
     * check of `captured - 1` for both bounds: before Linux 6.8 the verifier learns nothing from
     * `captured != 0`, and the helper takes no size that may be 0.
     */
    __u64 last = (__u64)header->captured - 1;
    barrier_var(last);
    if (last >= space)
        goto malformed;
    barrier_var(last);
    if (load_bytes(packet, hook, offset, record + 1, last + 1))
        goto malformed;
    bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    wake(ring, worker);
    return 0;

malformed:
    bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    return 1;
}

#endif
