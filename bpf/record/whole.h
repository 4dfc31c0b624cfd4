/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Captures a packet from its IP header on, at most snaplen bytes, in a ring of its worker. */
#ifndef XCOPY_WHOLE_H
#define XCOPY_WHOLE_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/hook.h"
#include "../packet/parse.h"
#include "record.h"
#include "ring.h"
#include "settings.h"

/* At tc: Linux's largest packet (BIG TCP) has GSO_MAX_SIZE bytes, 8 * 65535. */
#define MAX_CAPTURE 524288
/* At XDP: what the helper reads (bpf_xdp_pointer in net/core/filter.c). */
#define MAX_CAPTURE_XDP 65535
#define THINK_UNKNOWN 0xffffffff
#define MAX_INTERFACES 4096

/* Packets that a full ring had no room for, by interface index. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, MAX_INTERFACES);
    __type(key, __u32);
    __type(value, __u64);
} lost SEC(".maps");

/* Bytes of the largest packet of which a record can be. */
static __always_inline __u32 most_captured(enum hook hook) {
    return hook == AT_TC ? MAX_CAPTURE : MAX_CAPTURE_XDP;
}

/* Result of `put_whole`. */
#define TOO_LARGE 2

static __always_inline void count_lost(__u32 ifindex) {
    __u64 *count = bpf_map_lookup_elem(&lost, &ifindex);
    if (!count) {
        __u64 none = 0;
        bpf_map_update_elem(&lost, &ifindex, &none, BPF_NOEXIST);
        count = bpf_map_lookup_elem(&lost, &ifindex);
    }
    if (count)
        __sync_fetch_and_add(count, 1);
}

/* The header of the record that `put_linear` makes. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct record);
} linear_header SEC(".maps");

/*
 * As `put_sized`, for AT_XDP_LINEAR. A global function, which the verifier checks by itself and
 * once: in each of the many states in which programs call it, its loop would be too much. Such a
 * function takes no pointers, so the header comes in a map.
 */
__attribute__((noinline)) int put_linear(struct xdp_md *frame, __u32 offset, __u32 worker) {
    __u32 zero = 0;
    const struct record *header = bpf_map_lookup_elem(&linear_header, &zero);
    void *ring = ring_of_this_cpu(worker);
    if (!header || !ring)
        return 1;
    __u32 bytes = header->captured;
    if (bytes <= 256)
        return put(frame, AT_XDP_LINEAR, ring, worker, header, offset, 256);
    if (bytes <= 2048)
        return put(frame, AT_XDP_LINEAR, ring, worker, header, offset, 2048);
    if (bytes <= 16384)
        return put(frame, AT_XDP_LINEAR, ring, worker, header, offset, 16384);
    if (bytes <= MAX_LINEAR)
        return put(frame, AT_XDP_LINEAR, ring, worker, header, offset, MAX_LINEAR);
    return TOO_LARGE;
}

static __always_inline int call_put_linear(struct xdp_md *frame, __u32 worker,
                                           const struct record *header, __u32 offset) {
    __u32 zero = 0;
    bpf_map_update_elem(&linear_header, &zero, header, BPF_ANY);
    return put_linear(frame, offset, worker);
}

/* As `put_sized`, for what is above 64 KiB. Not inlined: the verifier goes through it seldom. */
static __attribute__((noinline)) int put_large(struct __sk_buff *skb, void *ring, __u32 worker,
                                               const struct record *header, __u32 offset) {
    __u32 bytes = header->captured;
    if (bytes <= 131072)
        return put(skb, AT_TC, ring, worker, header, offset, 131072);
    /* What Cilium sets. */
    if (bytes <= 196608)
        return put(skb, AT_TC, ring, worker, header, offset, 196608);
    if (bytes <= 262144)
        return put(skb, AT_TC, ring, worker, header, offset, 262144);
    if (bytes <= MAX_CAPTURE)
        return put(skb, AT_TC, ring, worker, header, offset, MAX_CAPTURE);
    return TOO_LARGE;
}

/* As `put`, with the smallest of some constant sizes that is enough. */
static __always_inline int put_sized(void *packet, enum hook hook, void *ring, __u32 worker,
                                     const struct record *header, __u32 offset) {
    __u32 bytes = header->captured;
#define UP_TO(space)                                                                               \
    if (bytes <= (space))                                                                          \
    return put(packet, hook, ring, worker, header, offset, space)
    UP_TO(128);
    UP_TO(256);
    UP_TO(512);
    UP_TO(1024);
    UP_TO(1600);
    UP_TO(2048);
    UP_TO(4096);
    UP_TO(8192);
    UP_TO(16384);
    UP_TO(32768);
    UP_TO(65536);
#undef UP_TO
    return hook == AT_TC ? put_large(packet, ring, worker, header, offset) : TOO_LARGE;
}

static __always_inline struct record whole_record(const struct segment *segment, __u32 index,
                                                  __u64 now_us, __u32 ifindex) {
    return (struct record){
        .time_us = now_us,
        .think_us = THINK_UNKNOWN,
        .length = segment->length,
        .captured = segment->length < snaplen ? segment->length : snaplen,
        .tcp_offset = segment->tcp_offset,
        .payload_offset = segment->payload_offset,
        .index = index,
        .ifindex = ifindex,
    };
}

/* As `put`; 1 also where there is no ring, TOO_LARGE where no record has so many bytes. */
static __always_inline int put_whole(void *packet, enum hook hook, const struct record *header,
                                     const struct segment *segment, __u32 worker) {
    void *ring = ring_of_this_cpu(worker);
    if (!ring)
        return 1;
    int result = hook == AT_XDP_LINEAR ? call_put_linear(packet, worker, header, segment->ip)
                                       : put_sized(packet, hook, ring, worker, header, segment->ip);
    if (result < 0)
        count_lost(header->ifindex);
    return result;
}

#endif
