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
#include "datagram-answer.h"
#include "turned.h"

/* Not inlined: with `take_datagram` one frame of the stack would be too large. */
static __attribute__((noinline)) enum parsed take_segment(struct __sk_buff *skb) {
    struct segment segment;
    enum parsed parsed = parse(skb, &segment);
    if (parsed == FRAGMENT)
        add(FRAGMENTS, 1);
    if (parsed != SEGMENT || !port_matches(segment.source_port))
        return parsed;
    struct addresses addresses;
    if (read_addresses(bytes_of(skb), &segment, &addresses))
        return parsed;
    turn_around(&segment, &addresses);
    struct service key = {.port = segment.destination_port, .family = segment.family};
    __u32 *index = look_up_service(&key, addresses.destination, 1);
    if (!index || passes_through(&key, &addresses))
        return parsed;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 worker = worker_of_client(&addresses, segment.source_port);
    if (!may_capture(now_us, worker))
        return parsed;
    if (segment.length > most_captured(AT_TC)) {
        add(OVERSIZE, 1);
        return parsed;
    }
    __u32 hash = flow_hash(&segment, &addresses);
    if (is_left_out(hash, worker)) {
        add(UNSAMPLED, 1);
        return parsed;
    }
    if (!keep_acks && segment.length == segment.payload_offset &&
        !(segment.flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))) {
        add(PURE_ACKS, 1);
        return parsed;
    }
    if (is_duplicate(&segment, ~hash, skb->ifindex, now_us, 0)) {
        add(DUPLICATES, 1);
        return parsed;
    }
    capture_outgoing(skb, &segment, *index, segment.length, THINK_UNKNOWN, now_us, worker);
    return parsed;
}

SEC("tc")
int xcopy_outgoing(struct __sk_buff *skb) {
    if (is_certainly_not_ours(skb, SOURCE_PORT))
        return takes_datagrams ? take_datagram(skb) : PASS;
    if (own_mark && skb->mark == own_mark) {
        add(OWN_MARK, 1);
        return PASS;
    }
    if (take_segment(skb) == OTHER && takes_datagrams)
        take_datagram(skb);
    return PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
