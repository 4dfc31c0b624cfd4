/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The response program, at ingress of the interfaces that lead to the targets. Responses to flows
 * of ours go to the rings, as headers or whole, and are dropped: this host's TCP does not know
 * these flows and would reset them. Everything else passes.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"
#include "../packet/prefilter.h"
#include "../record/headers.h"
#include "../record/payload.h"
#include "../record/record.h"
#include "../record/ring.h"
#include "../record/state.h"
#include "datagram-response.h"
#include "path.h"
#include "too-big.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct path);
    __type(value, struct answers);
} paths SEC(".maps");

static __always_inline struct answers *find_path(const __u8 *target, const __u8 *local,
                                                 __be16 target_port, __u16 family) {
    struct path key = {.target_port = target_port, .family = family};
    __builtin_memcpy(key.target, target, sizeof(key.target));
    __builtin_memcpy(key.local, local, sizeof(key.local));
    return bpf_map_lookup_elem(&paths, &key);
}

/* Captures an ICMP "packet too big" about a flow of ours: user space learns the path's MTU from it.
 * The message passes; this host's TCP ignores it. */
static __always_inline void capture_too_big(struct __sk_buff *skb) {
    struct quoted quoted;
    if (read_too_big(skb, &quoted))
        return;
    struct answers *found = find_path(quoted.addresses.destination, quoted.addresses.source,
                                      quoted.ports.destination, quoted.family);
    if (!found || !is_ours(found->index, quoted.ports.source))
        return;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 worker = worker_of_port(quoted.ports.source);
    void *ring = ring_of_this_cpu(worker);
    if (!alive(now_us, worker) || !ring)
        return;
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
}

SEC("tc")
int xcopy_response(struct __sk_buff *skb) {
    struct segment segment;
    if (is_certainly_not_ours(skb, SOURCE_PORT))
        return take_datagram_response(skb);
    enum parsed parsed = parse(skb, &segment);
    if (parsed == OTHER) {
        capture_too_big(skb);
        return take_refusal(skb) == DROP ? DROP : take_datagram_response(skb);
    }
    if (parsed != SEGMENT || !port_matches(segment.source_port))
        return PASS;
    struct addresses addresses;
    if (read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    struct answers *found =
        find_path(addresses.source, addresses.destination, segment.source_port, segment.family);
    if (!found || !is_ours(found->index, segment.destination_port))
        return PASS;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    __u32 worker = worker_of_port(segment.destination_port);
    if (!alive(now_us, worker)) {
        if (!is_dead(worker))
            add(INERT, 1);
        return PASS;
    }
    if (found->prefix)
        capture_payload(skb, AT_TC, &segment, found->index, found->prefix, now_us, worker);
    else
        capture_headers(skb, AT_TC, &segment, found->index, now_us, worker);
    return DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
