/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The fragments of TCP segments to the services: user space puts them together. */
#ifndef XCOPY_FRAGMENT_REQUEST_H
#define XCOPY_FRAGMENT_REQUEST_H

#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_helpers.h>

#include "../packet/fragmented.h"
#include "../packet/hook.h"
#include "../packet/parse.h"
#include "../packet/prefilter.h"
#include "../packet/worker.h"
#include "../record/duplicate.h"
#include "../record/local.h"
#include "../record/service.h"
#include "../record/settings.h"
#include "../record/state.h"
#include "../record/whole.h"
#include "count-request.h"
#include "to-interface.h"

/* In place of a worker. */
#define NO_WORKER 0xffffffff

/* As parse_tcp, for a fragment, of which `seq` and `ack` become identification and offset. */
static __always_inline int parse_fragment(struct bytes bytes, __u32 ip, __be16 protocol,
                                          struct segment *segment, struct piece *piece) {
    if (parse_ip(bytes, ip, protocol, segment, IPPROTO_TCP, piece) != SEGMENT || !piece->fragment)
        return -1;
    segment->payload_offset = segment->tcp_offset;
    if (segment->payload_offset > segment->length)
        return -1;
    segment->seq = piece->id;
    segment->ack = piece->fragment;
    if (piece->fragment >> 3)
        return 0;
    const struct tcphdr *tcp = look(bytes, segment->ip + segment->tcp_offset, sizeof(*tcp));
    if (!tcp)
        return -1;
    segment->source_port = tcp->source;
    segment->destination_port = tcp->dest;
    return 0;
}

/*
 * The worker of a fragment's flow: that of its port, which only the first fragment has. NO_WORKER
 * if it is no request; and where the first one has not come and there are several: then it is
 * counted. Counts what sampling leaves out.
 */
static __always_inline __u32 worker_of_fragment(const struct segment *segment,
                                                const struct addresses *addresses,
                                                const struct piece *piece, int is_to_host,
                                                __u32 now_us) {
    if (piece->fragment >> 3) {
        struct first_fragment *first = find_first_fragment(addresses, piece, now_us);
        if (first)
            return first->is_ours ? first->worker : NO_WORKER;
        if (is_to_host && workers == 1)
            return 0;
        add(FRAGMENTS, is_to_host);
        return NO_WORKER;
    }
    struct service key = {.port = segment->destination_port, .family = segment->family};
    __u32 worker = worker_of_client(addresses, segment->source_port);
    int is_ours = port_matches(segment->destination_port) &&
                  look_up_service(&key, addresses->destination, is_to_host) != 0 &&
                  !is_forwarded(&key, addresses);
    if (is_ours && is_left_out(flow_hash(segment, addresses), worker)) {
        add(UNSAMPLED, 1);
        is_ours = 0;
    }
    remember_first_fragment(addresses, piece, is_ours, worker, now_us);
    return is_ours ? worker : NO_WORKER;
}

static __always_inline void take_fragment(void *packet, enum hook hook,
                                          const struct segment *segment,
                                          const struct addresses *addresses,
                                          const struct piece *piece, int is_to_host) {
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 ifindex = ifindex_of(packet, hook);
    __u32 worker = worker_of_fragment(segment, addresses, piece, is_to_host, now_us);
    if (worker == NO_WORKER)
        return;
    if (is_duplicate(segment, flow_hash(segment, addresses), ifindex, now_us, 0)) {
        add(DUPLICATES, 1);
        return;
    }
    struct record header = whole_record(segment, SEGMENT_FRAGMENT_INDEX, now_us, ifindex);
    if (alive(now_us, worker))
        count_request(put_whole(packet, hook, &header, segment, worker), segment);
    else
        add(is_dead(worker) ? ABANDONED : INERT, 1);
}

/* Not inlined: the code that other packets run through stays small. */
static __attribute__((noinline)) int take_skb_fragment(struct __sk_buff *skb) {
    struct segment segment;
    struct addresses addresses;
    struct piece piece;
    if (parse_fragment(bytes_of(skb), network_offset(skb), skb->protocol, &segment, &piece) ||
        read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    take_fragment(skb, AT_TC, &segment, &addresses, &piece,
                  requests_leave || skb->pkt_type == PACKET_HOST);
    return PASS;
}

static __always_inline void take_fragment_at_xdp(struct xdp_md *frame, enum hook hook) {
    struct segment segment;
    struct addresses addresses;
    struct piece piece;
    struct bytes bytes = bytes_of(frame);
    if (parse_fragment(bytes, ETH_HLEN, frame_type(bytes), &segment, &piece) ||
        read_addresses(bytes, &segment, &addresses))
        return;
    take_fragment(frame, hook, &segment, &addresses, &piece, is_to_interface(frame));
}

static __attribute__((noinline)) int take_frame_fragment(struct xdp_md *frame) {
    take_fragment_at_xdp(frame, AT_XDP);
    return 0;
}

static __attribute__((noinline)) int take_linear_fragment(struct xdp_md *frame) {
    take_fragment_at_xdp(frame, AT_XDP_LINEAR);
    return 0;
}

#endif
