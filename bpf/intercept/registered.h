/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Flows that copies have registered. What the target sends in one of them may also be for a real
 * client with the same addresses and ports: a flow is a copy's from the first packet on that only
 * the connection of the copy can have. src/intercept/data-plane/proof.ts decides the same.
 */
#ifndef XCOPY_REGISTERED_H
#define XCOPY_REGISTERED_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"
#include "../record/state.h"
#include "flow.h"

/* `state`: see src/channel/registration.ts. */
#define OPENING 1
#define OPEN 2
#define UNNUMBERED 3

/* Bytes in flight that are believed; bytes sent since; how far answers may be from `rcv`. */
#define MOST_IN_FLIGHT (1 << 20)
#define AHEAD (1 << 18)
#define NEAR (1 << 20)

struct registered {
    __u32 value; /* as in `learned` */
    __u32 una;
    __u32 max;
    __u32 rcv;
    __u32 state;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct flow);
    __type(value, struct registered);
} registered SEC(".maps");

/* The registration of a flow, or null. Until a copy registers something, nothing is looked up. */
static __always_inline struct registered *registered_as(const struct flow *flow) {
    __u32 worker = ONLY_WORKER;
    volatile struct control *shared = bpf_map_lookup_elem(&control, &worker);
    if (!shared || !shared->registers)
        return 0;
    return bpf_map_lookup_elem(&registered, flow);
}

/* Whether these numbers of the target are those of an open connection. */
static __always_inline int is_near(const struct registered *found, __u32 seq, __u32 ack) {
    __u32 in_flight = found->max - found->una;
    if (in_flight > MOST_IN_FLIGHT)
        in_flight = MOST_IN_FLIGHT;
    return ack - found->una <= in_flight + AHEAD && seq - found->rcv + NEAR <= 2 * NEAR;
}

/* Whether a packet of the target is in the connection of the copy that registered its flow. */
static __always_inline int proves(const struct registered *found, const struct segment *segment) {
    __u8 flags = segment->flags;
    if (found->state == OPENING)
        return flags & FLAG_ACK && segment->ack == found->una;
    if (found->state == OPEN && !(flags & FLAG_ACK))
        return flags & FLAG_RST && segment->seq == found->rcv;
    if (found->state == OPEN)
        return is_near(found, segment->seq, segment->ack);
    if (!(flags & FLAG_ACK))
        return 0;
    return flags & FLAG_SYN || (flags & FLAG_RST && !segment->seq);
}

/* Whether the copy that registered a flow has sent this packet, of which `seq` is known. */
static __always_inline int has_sent(const struct registered *found, __u32 seq) {
    if (found->state == OPENING)
        return seq + 1 == found->una || seq == found->una;
    return found->state == OPEN && seq - found->una <= MOST_IN_FLIGHT;
}

#endif
