/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The UDP part of the response program: captures and drops what targets answer to flows of ours.
 * This host would answer with ICMP "port unreachable". */
#ifndef XCOPY_DATAGRAM_RESPONSE_H
#define XCOPY_DATAGRAM_RESPONSE_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/datagram.h"
#include "../packet/quoted.h"
#include "../packet/worker.h"
#include "../record/headers.h"
#include "../record/ring.h"
#include "../record/state.h"
#include "path.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct path);
    __type(value, struct answers);
} datagram_paths SEC(".maps");

/* Takes an ICMP "destination unreachable" (RFC 792, RFC 4443) about a UDP flow of ours: user space
 * counts it. It is dropped, because no socket of this host sent the datagram. */
static __attribute__((noinline)) int take_refusal(struct __sk_buff *skb) {
    struct quoted quoted;
    if (read_quoted(skb, &quoted) || quoted.protocol != IPPROTO_UDP ||
        quoted.type != (quoted.family == AF_INET ? DESTINATION_UNREACHABLE : UNREACHABLE6))
        return PASS;
    struct path key = {.target_port = quoted.ports.destination, .family = quoted.family};
    __builtin_memcpy(key.target, quoted.addresses.destination, sizeof(key.target));
    __builtin_memcpy(key.local, quoted.addresses.source, sizeof(key.local));
    struct answers *found = bpf_map_lookup_elem(&datagram_paths, &key);
    if (!found || !is_ours(found->index, quoted.ports.source))
        return PASS;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 worker = worker_of_port(quoted.ports.source);
    void *ring = ring_of_this_cpu(worker);
    if (!alive(now_us, worker) || !ring)
        return PASS;
    struct record header = {
        .time_us = now_us,
        .think_us = 0xffffffff,
        .length = quoted.length,
        .captured = quoted.length < MAX_HEADERS ? quoted.length : MAX_HEADERS,
        .index = found->index,
        .ifindex = skb->ifindex,
    };
    if (put(skb, AT_TC, ring, worker, &header, network_offset(skb), MAX_HEADERS) < 0)
        add(RESPONSE_RING_FULL, 1);
    return DROP;
}

static __attribute__((noinline)) int take_datagram_response(struct __sk_buff *skb) {
    struct segment segment;
    struct addresses addresses;
    struct piece piece;
    if (is_certainly_no_datagram(skb, SOURCE_PORT))
        return PASS;
    enum datagram kind = parse_datagram(skb, &segment, &piece);
    if (kind == NO_DATAGRAM ||
        (kind != LATER_FRAGMENT && !datagram_port_matches(segment.source_port)) ||
        read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    /* One that comes before the first passes: this host cannot reassemble it, and drops it. */
    if (kind == LATER_FRAGMENT)
        return recall_first_fragment(&addresses, &piece, now_us, 0) ? DROP : PASS;
    struct path key = {.target_port = segment.source_port, .family = segment.family};
    __builtin_memcpy(key.target, addresses.source, sizeof(key.target));
    __builtin_memcpy(key.local, addresses.destination, sizeof(key.local));
    struct answers *found = bpf_map_lookup_elem(&datagram_paths, &key);
    if (!found || !is_ours(found->index, segment.destination_port))
        return PASS;
    __u32 worker = worker_of_port(segment.destination_port);
    if (!alive(now_us, worker)) {
        if (!is_dead(worker))
            add(INERT, 1);
        return PASS;
    }
    if (kind == FIRST_FRAGMENT)
        remember_first_fragment(&addresses, &piece, 1, 0, now_us);
    if (segment.payload_offset > MAX_HEADERS) {
        add(OVERSIZE, 1);
        return DROP;
    }
    void *ring = ring_of_this_cpu(worker);
    if (!ring)
        return DROP;
    struct record header = response_record(&segment, found->index, now_us, skb->ifindex);
    /* Of its payload as much as there is room for behind headers. */
    if (found->prefix) {
        __u32 rest = skb->len - segment.ip;
        header.captured = rest < MAX_HEADERS ? rest : MAX_HEADERS;
    }
    if (kind == WHOLE && skb->gso_size)
        header.think_us = skb->gso_size;
    count_response(put(skb, AT_TC, ring, worker, &header, segment.ip, MAX_HEADERS), &segment);
    return DROP;
}

#endif
