/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The UDP part of the outgoing program: copies the datagrams of services into the rings. */
#ifndef XCOPY_DATAGRAM_ANSWER_H
#define XCOPY_DATAGRAM_ANSWER_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/datagram.h"
#include "../packet/worker.h"
#include "../record/duplicate.h"
#include "../record/service.h"
#include "../record/settings.h"
#include "../record/state.h"
#include "turned.h"

/* Bytes of the IP packet of a first fragment once it is put together, by its UDP header. */
static __always_inline __u32 length_of_all(struct __sk_buff *skb, const struct segment *segment) {
    const struct udp_header *udp =
        look(bytes_of(skb), segment->ip + segment->tcp_offset, sizeof(*udp));
    __u32 length = segment->tcp_offset + (udp ? bpf_ntohs(udp->length) : 0);
    return length > segment->length ? length : segment->length;
}

/*
 * Of one in fragments only the first is captured, as a datagram that is cut: its length is that of
 * the whole. Not inlined: the code that TCP runs through stays small.
 */
static __attribute__((noinline)) int take_datagram(struct __sk_buff *skb) {
    struct segment segment;
    struct addresses addresses;
    struct piece piece;
    if (is_certainly_no_datagram(skb, SOURCE_PORT))
        return PASS;
    if (own_mark && skb->mark == own_mark) {
        add(OWN_MARK, 1);
        return PASS;
    }
    enum datagram kind = parse_datagram(skb, &segment, &piece);
    if (kind == NO_DATAGRAM || kind == LATER_FRAGMENT ||
        !datagram_port_matches(segment.source_port) ||
        read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    turn_around(&segment, &addresses);
    struct service key = {.port = segment.destination_port, .family = segment.family};
    __u32 *index = find_datagram_service(&key, addresses.destination, 1);
    if (!index || passes_through(&key, &addresses))
        return PASS;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 worker = worker_of_client(&addresses, 0);
    if (!may_capture(now_us, worker))
        return PASS;
    __u32 hash = flow_hash(&segment, &addresses);
    if (is_left_out(hash, worker)) {
        add(UNSAMPLED, 1);
        return PASS;
    }
    /* The payload need not be linear. Of less than 4 bytes the checksum is enough. */
    if (kind == WHOLE)
        bpf_skb_load_bytes(skb, segment.ip + segment.payload_offset, &segment.seq,
                           sizeof(segment.seq));
    if (is_duplicate(&segment, ~hash, skb->ifindex, now_us, kind == WHOLE)) {
        add(DUPLICATES, 1);
        return PASS;
    }
    __u32 length = kind == WHOLE ? segment.length : length_of_all(skb, &segment);
    __u32 each = kind == WHOLE && skb->gso_size ? skb->gso_size : THINK_UNKNOWN;
    capture_outgoing(skb, &segment, *index, length, each, now_us, worker);
    return PASS;
}

#endif
