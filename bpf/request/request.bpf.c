/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The request programs, one for tc and one for XDP. At ingress of the interfaces of the production
 * host (or at egress of those of a client's host) they copy what clients send to the services into
 * the rings. They never drop and never change a packet.
 */
#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet/frame.h"
#include "../packet/parse.h"
#include "../packet/prefilter.h"
#include "../record/duplicate.h"
#include "../record/local.h"
#include "../record/service.h"
#include "../record/settings.h"
#include "../record/state.h"
#include "../record/whole.h"
#include "count-request.h"
#include "datagram-request.h"
#include "fragment-request.h"
#include "pure-acks.h"
#include "to-interface.h"
#include "verified.h"

/* Whether a segment is a request to capture; then fills `header`. Counts why not. */
static __always_inline int is_wanted(const struct segment *segment,
                                     const struct addresses *addresses, int is_to_host,
                                     __u32 ifindex, __u32 worker, enum hook hook,
                                     struct record *header) {
    struct service key = {.port = segment->destination_port, .family = segment->family};
    __u32 *index = look_up_service(&key, addresses->destination, is_to_host);
    if (!index || is_forwarded(&key, addresses))
        return 0;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    int is_pure_ack = segment->length == segment->payload_offset &&
                      !(segment->flags & (FLAG_SYN | FLAG_FIN | FLAG_RST));
    if (!alive(now_us, worker)) {
        if (!is_pure_ack || keep_acks)
            add(is_dead(worker) ? ABANDONED : INERT, 1);
        return 0;
    }
    if (segment->length > most_captured(hook)) {
        add(OVERSIZE, 1);
        return 0;
    }
    __u32 hash = flow_hash(segment, addresses);
    if (is_left_out(hash, worker)) {
        add(UNSAMPLED, 1);
        return 0;
    }
    if (is_pure_ack && !take_ack(segment, hash, now_us)) {
        if (!keep_acks) {
            add(PURE_ACKS, 1);
            return 0;
        }
    }
    if (is_duplicate(segment, hash, ifindex, now_us, 0)) {
        add(DUPLICATES, 1);
        return 0;
    }
    if (segment->flags & FLAG_SYN)
        remember_syn(segment, hash, now_us);
    *header = whole_record(segment, *index, now_us, ifindex);
    header->think_us = think_time(segment, hash, now_us);
    if (hook == AT_TC)
        header->index |= acknowledges_far(segment, hash);
    return 1;
}

/*
 * Takes a TCP segment, and returns as what the packet was parsed. Not inlined: with what is called
 * for other packets one frame of the stack would be too large.
 */
static __attribute__((noinline)) enum parsed take_skb(struct __sk_buff *skb) {
    struct segment segment;
    enum parsed parsed = parse(skb, &segment);
    if (parsed == SEGMENT && segment.is_fragment)
        return FRAGMENT;
    if (parsed != SEGMENT || !port_matches(segment.destination_port))
        return parsed;
    struct addresses addresses;
    if (read_addresses(bytes_of(skb), &segment, &addresses))
        return parsed;
    struct record header;
    __u32 worker = worker_of_client(&addresses, segment.source_port);
    int is_to_host = requests_leave || skb->pkt_type == PACKET_HOST;
    if (is_wanted(&segment, &addresses, is_to_host, skb->ifindex, worker, AT_TC, &header)) {
        header.index |= verified(skb);
        count_request(put_whole(skb, AT_TC, &header, &segment, worker), &segment);
    }
    return parsed;
}

SEC("tc")
int xcopy_request(struct __sk_buff *skb) {
    if (is_certainly_not_ours(skb, DESTINATION_PORT))
        return takes_datagrams ? take_datagram(skb) : PASS;
    if (own_mark && skb->mark == own_mark) {
        add(OWN_MARK, 1);
        return PASS;
    }
    enum parsed parsed = take_skb(skb);
    if (parsed == FRAGMENT)
        take_skb_fragment(skb);
    else if (parsed == OTHER && takes_datagrams)
        take_datagram(skb);
    return PASS;
}

/* Takes a TCP segment, and returns as what the frame was parsed. */
static __always_inline enum parsed take_frame(struct xdp_md *frame, enum hook hook) {
    struct segment segment;
    enum parsed parsed = parse_frame(frame, hook, &segment);
    if (parsed == SEGMENT && segment.is_fragment)
        return FRAGMENT;
    if (parsed != SEGMENT || !port_matches(segment.destination_port))
        return parsed;
    struct addresses addresses;
    if (read_addresses(bytes_of(frame), &segment, &addresses))
        return parsed;
    struct record header;
    __u32 worker = worker_of_client(&addresses, segment.source_port);
    if (is_wanted(&segment, &addresses, is_to_interface(frame), frame->ingress_ifindex, worker,
                  hook, &header))
        count_request(put_whole(frame, hook, &header, &segment, worker), &segment);
    return parsed;
}

static __attribute__((noinline)) enum parsed take_buffers(struct xdp_md *frame) {
    return take_frame(frame, AT_XDP);
}

/* Runs before GRO: packets are as they were on the wire, and have no mark. */
SEC("xdp.frags")
int xcopy_request_xdp(struct xdp_md *frame) {
    enum parsed parsed = take_buffers(frame);
    if (parsed == FRAGMENT)
        take_frame_fragment(frame);
    else if (parsed == OTHER && takes_datagrams)
        take_datagram_frame(frame);
    return XDP_PASS;
}

/* Not inlined: with `take_datagram_linear` one frame of the stack would be too large. */
static __attribute__((noinline)) enum parsed take_linear(struct xdp_md *frame) {
    return take_frame(frame, AT_XDP_LINEAR);
}

/* For kernels that do not take the program above. */
SEC("xdp")
int xcopy_request_xdp_linear(struct xdp_md *frame) {
    enum parsed parsed = take_linear(frame);
    if (parsed == FRAGMENT)
        take_linear_fragment(frame);
    else if (parsed == OTHER && takes_datagrams)
        take_datagram_linear(frame);
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
