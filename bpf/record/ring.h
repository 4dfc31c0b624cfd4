/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* From a packet to a record in the ring that this CPU has for a worker. */
#ifndef XCOPY_RING_H
#define XCOPY_RING_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/hook.h"
#include "../packet/worker.h"
#include "record.h"
#include "state.h"

/*
 * One ring buffer per possible CPU and worker, those of a CPU in a row, made at load time by user
 * space, which chooses their size.
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
 * Wakes a worker if it waits. Must come after the record's submit, which is a full barrier:
 * either user space, which looks at the rings once more after it has set `waiting`, finds the
 * record, or we find `waiting`. Submitted records cannot wake any more then, so an empty one does.
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
 * Puts the record and `captured` bytes of the packet from `offset` (from its data) into a ring of
 * the worker; `space` is a constant, as the verifier wants it. Returns 0, or -1 if the ring is
 * full, or 1 if the packet is shorter than it says.
 */
static __always_inline int put(void *packet, enum hook hook, void *ring, __u32 worker,
                               const struct record *header, __u32 offset, const __u32 space) {
    struct record *record = bpf_ringbuf_reserve(ring, sizeof(*record) + space, 0);
    if (!record)
        return -1;
    __builtin_memcpy(record, header, sizeof(*record));
    /* 64 bits and barriers: what the compiler checks must be the register that it uses. */
    __u64 captured = header->captured;
    barrier_var(captured);
    if (captured > space)
        goto malformed;
    barrier_var(captured);
    if (!captured || load_bytes(packet, hook, offset, record + 1, captured))
        goto malformed;
    bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    wake(ring, worker);
    return 0;

malformed:
    bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    return 1;
}

#endif
