/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The UDP part of the request programs: copies the datagrams of clients into the rings. */
#ifndef XCOPY_DATAGRAM_REQUEST_H
#define XCOPY_DATAGRAM_REQUEST_H

#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_helpers.h>

#include "../packet/datagram.h"
#include "../packet/frame.h"
#include "../packet/parse.h"
#include "../packet/worker.h"
#include "../record/duplicate.h"
#include "../record/local.h"
#include "../record/service.h"
#include "../record/settings.h"
#include "../record/state.h"
#include "../record/whole.h"
#include "count-request.h"
#include "to-interface.h"
#include "verified.h"

/* `index` for the record of a datagram, NO_REQUEST if it is no request. `type`: skb->pkt_type. */
static __always_inline __u32 datagram_index(enum datagram kind, const struct segment *segment,
                                            const struct addresses *addresses,
                                            const struct piece *piece, __u32 type, __u32 now_us) {
    int is_to_host = requests_leave || type <= PACKET_MULTICAST;
    if (kind == LATER_FRAGMENT)
        return recall_first_fragment(addresses, piece, now_us, is_to_host) ? FRAGMENT_INDEX
                                                                           : NO_REQUEST;
    struct service key = {.port = segment->destination_port, .family = segment->family};
    __u32 *index = find_datagram_service(&key, addresses->destination, is_to_host);
    if (index && is_forwarded(&key, addresses))
        index = 0;
    if (kind == FIRST_FRAGMENT) {
        remember_first_fragment(addresses, piece, index != 0, 0, now_us);
        return index ? FRAGMENT_INDEX : NO_REQUEST;
    }
    if (!index)
        return NO_REQUEST;
    int is_unicast = requests_leave || type == PACKET_HOST || type == PACKET_OTHERHOST;
    return is_unicast ? *index : *index | NOT_UNICAST;
}

/* Whether a datagram is a request to capture; then sets `header` and `worker`. Counts why not. */
static __always_inline int is_datagram_wanted(enum datagram kind, const struct segment *segment,
                                              const struct addresses *addresses,
                                              const struct piece *piece, __u32 type, __u32 ifindex,
                                              struct record *header, __u32 *worker) {
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 index = datagram_index(kind, segment, addresses, piece, type, now_us);
    if (index == NO_REQUEST)
        return 0;
    /* By the address alone: later fragments have no port, and need the same worker. */
    *worker = worker_of_client(addresses, 0);
    if (!alive(now_us, *worker)) {
        add(is_dead(*worker) ? ABANDONED : INERT, 1);
        return 0;
    }
    __u32 hash = flow_hash(segment, addresses);
    /* About fragments user space decides, after reassembly. */
    if (kind == WHOLE && is_left_out(hash, *worker)) {
        add(UNSAMPLED, 1);
        return 0;
    }
    if (is_duplicate(segment, hash, ifindex, now_us, kind == WHOLE)) {
        add(DUPLICATES, 1);
        return 0;
    }
    *header = whole_record(segment, index, now_us, ifindex);
    return 1;
}

/* Not inlined: the code that TCP runs through stays small. */
static __attribute__((noinline)) int take_datagram(struct __sk_buff *skb) {
    struct segment segment;
    struct addresses addresses;
    struct piece piece;
    if (is_certainly_no_datagram(skb, DESTINATION_PORT))
        return PASS;
    if (own_mark && skb->mark == own_mark) {
        add(OWN_MARK, 1);
        return PASS;
    }
    enum datagram kind = parse_datagram(skb, &segment, &piece);
    if (kind == NO_DATAGRAM ||
        (kind == WHOLE && !datagram_port_matches(segment.destination_port)) ||
        read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    /* The payload need not be linear. Of less than 4 bytes the checksum is enough. */
    if (kind == WHOLE)
        bpf_skb_load_bytes(skb, segment.ip + segment.payload_offset, &segment.seq,
                           sizeof(segment.seq));
    struct record header;
    __u32 worker;
    if (!is_datagram_wanted(kind, &segment, &addresses, &piece, skb->pkt_type, skb->ifindex,
                            &header, &worker))
        return PASS;
    /* The packet is several datagrams with so much payload (UDP_SEGMENT, UDP_GRO: linux/udp.h). */
    if (kind == WHOLE && skb->gso_size)
        header.think_us = skb->gso_size;
    if (kind == WHOLE)
        header.index |= verified(skb);
    count_request(put_whole(skb, AT_TC, &header, &segment, worker), &segment);
    return PASS;
}

/* The first 4 bytes of the payload of a frame, where it has them, into `segment->seq`. */
static __always_inline void read_first_payload(struct xdp_md *frame, enum hook hook,
                                               struct segment *segment) {
    __u32 at = segment->ip + segment->payload_offset;
    if (hook == AT_XDP) {
        bpf_xdp_load_bytes(frame, at, &segment->seq, sizeof(segment->seq));
    } else {
        const __u32 *first = look(bytes_of(frame), at, sizeof(*first));
        if (first)
            segment->seq = *first;
    }
}

/* The same for a frame at XDP. */
static __always_inline void take_datagram_at_xdp(struct xdp_md *frame, enum hook hook) {
    struct segment segment;
    struct addresses addresses;
    struct piece piece;
    enum datagram kind = parse_datagram_frame(frame, &segment, &piece);
    if (kind == NO_DATAGRAM ||
        (kind == WHOLE && !datagram_port_matches(segment.destination_port)) ||
        read_addresses(bytes_of(frame), &segment, &addresses))
        return;
    const __u8 *destination = look(bytes_of(frame), 0, ETH_ALEN);
    if (!destination)
        return;
    __u32 type = destination[0] & 1 ? PACKET_MULTICAST : PACKET_OTHERHOST;
    if (is_to_interface(frame))
        type = PACKET_HOST;
    if (kind == WHOLE)
        read_first_payload(frame, hook, &segment);
    struct record header;
    __u32 worker;
    if (is_datagram_wanted(kind, &segment, &addresses, &piece, type, frame->ingress_ifindex,
                           &header, &worker))
        count_request(put_whole(frame, hook, &header, &segment, worker), &segment);
}

static __attribute__((noinline)) int take_datagram_frame(struct xdp_md *frame) {
    take_datagram_at_xdp(frame, AT_XDP);
    return 0;
}

static __attribute__((noinline)) int take_datagram_linear(struct xdp_md *frame) {
    take_datagram_at_xdp(frame, AT_XDP_LINEAR);
    return 0;
}

#endif
