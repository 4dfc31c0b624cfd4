/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The outgoing program, at egress of the interfaces of the production host: copies what the
 * services send to clients into the rings of the request program, whose maps it shares. Never drops
 * and never changes a packet.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"
#include "../packet/prefilter.h"
#include "../record/duplicate.h"
#include "../record/headers.h"
#include "../record/local.h"
#include "../record/service.h"
#include "../record/settings.h"
#include "../record/state.h"
#include "../record/whole.h"

/* Swaps source and destination, so that they are those of a request of the same client. */
static __always_inline void turn_around(struct segment *segment, struct addresses *addresses) {
    struct addresses turned;
    __builtin_memcpy(turned.source, addresses->destination, sizeof(turned.source));
    __builtin_memcpy(turned.destination, addresses->source, sizeof(turned.destination));
    *addresses = turned;
    __be16 port = segment->source_port;
    segment->source_port = segment->destination_port;
    segment->destination_port = port;
}

SEC("tc")
int xcopy_outgoing(struct __sk_buff *skb) {
    struct segment segment;
    if (is_certainly_not_ours(skb, SOURCE_PORT))
        return PASS;
    if (own_mark && skb->mark == own_mark) {
        add(OWN_MARK, 1);
        return PASS;
    }
    enum parsed parsed = parse(skb, &segment);
    if (parsed == FRAGMENT)
        add(FRAGMENTS, 1);
    if (parsed != SEGMENT || !port_matches(segment.source_port))
        return PASS;
    struct addresses addresses;
    if (read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    turn_around(&segment, &addresses);
    struct service key = {.port = segment.destination_port, .family = segment.family};
    __u32 *index = look_up_service(&key, addresses.destination, 1);
    /* What other hosts answer passes through as well. */
    if (!index || (only_local && has_any_address(&key) && !is_local(&addresses, segment.family)))
        return PASS;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 worker = worker_of_client(&addresses, segment.source_port);
    if (!alive(now_us, worker)) {
        if (!is_dead(worker))
            add(INERT, 1);
        return PASS;
    }
    if (segment.length > most_captured(AT_TC)) {
        add(OVERSIZE, 1);
        return PASS;
    }
    __u32 hash = flow_hash(&segment, &addresses);
    if (is_left_out(hash, worker)) {
        add(UNSAMPLED, 1);
        return PASS;
    }
    if (!keep_acks && segment.length == segment.payload_offset &&
        !(segment.flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))) {
        add(PURE_ACKS, 1);
        return PASS;
    }
    if (is_duplicate(&segment, ~hash, skb->ifindex, now_us, 0)) {
        add(DUPLICATES, 1);
        return PASS;
    }
    struct record header = whole_record(&segment, *index | OUTGOING, now_us, skb->ifindex);
    count_response(put_whole(skb, AT_TC, &header, &segment, worker), &segment);
    return PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
