/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Which pure ACKs of clients are captured: the one that ends a handshake, and now and then one as a
 * sign of life of its connection. The others only tell when a client's think time began. All state
 * is in arrays: the slot of a flow has the flow that used it last.
 */
#ifndef XCOPY_PURE_ACKS_H
#define XCOPY_PURE_ACKS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"
#include "../record/settings.h"
#include "../record/whole.h"

/* Bytes; as in src/capture/history.ts. */
#define FAR (16u << 20)
#define ACK_SLOTS 65536
#define HANDSHAKE_SLOTS 65536
#define SIGN_SLOTS 65536
#define SIGN_WAYS 4
/* The part of the time between two signs of life after which one makes room for another flow's. */
#define SHARED_SIGNS 15
#define UNUSED 0xffffffff

/* The last pure ACK of a flow: the client has the response, and its think time begins. */
struct ack_seen {
    __u32 hash;
    __u32 seq;
    __u32 ack;
    __u32 time_us;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, ACK_SLOTS);
    __type(key, __u32);
    __type(value, struct ack_seen);
} acks SEC(".maps");

/* The last SYN of a flow whose handshake has not ended. */
struct syn_seen {
    __u32 hash;
    __u32 seq; /* of the ACK that ends it */
    __u32 is_open;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, HANDSHAKE_SLOTS);
    __type(key, __u32);
    __type(value, struct syn_seen);
} handshakes SEC(".maps");

/* When a flow has given a sign of life that was captured, or has begun. */
struct sign {
    __u32 hash;
    __u32 at_ms; /* 0: not in use */
};

/* A slot has several, so that flows that share it do not drive each other out. */
struct sign_slot {
    struct sign of[SIGN_WAYS];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SIGN_SLOTS);
    __type(key, __u32);
    __type(value, struct sign_slot);
} signs SEC(".maps");

/*
 * Whether a packet is a sign of life of its flow that is due. It takes the place of another flow's
 * if that is not too new: with more flows than places each still has its turn. A SYN only notes
 * that the flow begins.
 */
static __always_inline int is_sign_of_life(__u32 hash, __u64 now_us, int is_syn) {
    __u32 now_ms = (__u32)(now_us / 1000) | 1;
    __u32 slot = hash % SIGN_SLOTS;
    struct sign_slot *signs_of_slot = bpf_map_lookup_elem(&signs, &slot);
    if (!signs_of_slot)
        return 0;
    __u32 oldest = 0;
    __u32 most = 0;
#pragma unroll
    for (__u32 i = 0; i < SIGN_WAYS; i++) {
        struct sign *sign = &signs_of_slot->of[i];
        __u32 age = sign->at_ms ? now_ms - sign->at_ms : UNUSED;
        if (sign->hash == hash && sign->at_ms) {
            if (!is_syn && age < sign_span_ms)
                return 0;
            sign->at_ms = now_ms;
            return !is_syn;
        }
        if (age > most) {
            most = age;
            oldest = i;
        }
    }
    if (most < sign_span_ms / SHARED_SIGNS)
        return 0;
    struct sign *taken = &signs_of_slot->of[oldest & (SIGN_WAYS - 1)];
    taken->hash = hash;
    taken->at_ms = now_ms;
    return !is_syn && most != UNUSED;
}

/* Remembers a SYN that is captured. */
static __always_inline void remember_syn(const struct segment *segment, __u32 hash, __u64 now_us) {
    __u32 slot = hash % HANDSHAKE_SLOTS;
    struct syn_seen *seen = bpf_map_lookup_elem(&handshakes, &slot);
    if (seen) {
        seen->hash = hash;
        /* After the data that it may carry (TCP Fast Open). */
        seen->seq = segment->seq + 1 + segment->length - segment->payload_offset;
        seen->is_open = 1;
    }
    is_sign_of_life(hash, now_us, 1);
}

static __always_inline int ends_handshake(const struct segment *segment, __u32 hash) {
    __u32 slot = hash % HANDSHAKE_SLOTS;
    struct syn_seen *seen = bpf_map_lookup_elem(&handshakes, &slot);
    if (!seen || !seen->is_open || seen->hash != hash || seen->seq != segment->seq)
        return 0;
    seen->is_open = 0;
    return 1;
}

/* Remembers a pure ACK. Returns whether it is needed. */
static __always_inline int take_ack(const struct segment *segment, __u32 hash, __u64 now_us) {
    __u32 slot = hash % ACK_SLOTS;
    struct ack_seen *seen = bpf_map_lookup_elem(&acks, &slot);
    if (!seen)
        return 0;
    seen->hash = hash;
    seen->seq = segment->seq;
    seen->ack = segment->ack;
    seen->time_us = now_us;
    return ends_handshake(segment, hash) || is_sign_of_life(hash, now_us, 0);
}

/* us since the flow's pure ACK with this seq and ack; THINK_UNKNOWN if that was not the last. */
static __always_inline __u32 think_time(const struct segment *segment, __u32 hash, __u32 now_us) {
    __u32 slot = hash % ACK_SLOTS;
    struct ack_seen *seen = bpf_map_lookup_elem(&acks, &slot);
    if (!seen || seen->hash != hash || seen->seq != segment->seq || seen->ack != segment->ack)
        return THINK_UNKNOWN;
    return now_us - seen->time_us;
}

/*
 * ACKS_FAR, or 0: whether the acknowledgement number is further from that of the flow's last pure
 * ACK than any window. A client with so much to acknowledge has sent pure ACKs meanwhile. Not asked
 * at XDP, where old verifiers have no room for it.
 */
static __always_inline __u32 acknowledges_far(const struct segment *segment, __u32 hash) {
    __u32 slot = hash % ACK_SLOTS;
    struct ack_seen *seen = bpf_map_lookup_elem(&acks, &slot);
    if (!seen || seen->hash != hash || !seen->time_us || !(segment->flags & FLAG_ACK))
        return 0;
    return segment->ack - seen->ack + FAR > 2 * FAR ? ACKS_FAR : 0;
}

#endif
