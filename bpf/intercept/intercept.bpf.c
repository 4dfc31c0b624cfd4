/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The programs of `xcopy intercept`. On the target, `learn` at ingress finds out which flows are
 * copied, by the cookie on their SYN, and `catch` at egress drops what the target answers to them
 * and puts its headers into the rings. On an assistant, `swallow` does the same with all packets
 * that a filter passes to it. Nothing else is touched. Where a copy reads payload, the rings get it
 * too.
 *
 * All these packets are dropped even while user space is stalled or dead: no real client may ever
 * see them.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet/datagram.h"
#include "../packet/frame.h"
#include "../packet/parse.h"
#include "../packet/prefilter.h"
#include "../packet/quoted.h"
#include "../record/headers.h"
#include "../record/payload.h"
#include "../record/state.h"
#include "connection.h"
#include "flow.h"
#include "learned.h"
#include "option.h"
#include "registered.h"

/* `index` of records whose flow the kernel does not know. */
#define NO_SLOT 0xffffffff

struct service {
    __u8 address[16]; /* zero: any address */
    __u16 zero;
    __u16 family;
};

/* From a service to the index of its ports in `ports`. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct service);
    __type(value, __u32);
} services SEC(".maps");

/* From a cookie, as it is on the wire, to what stands for its copy:
 * src/intercept/data-plane/copies.ts. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u64);
    __type(value, __u32);
} cookies SEC(".maps");

/* As `learned`, for UDP, which has no SYN to learn from: user space registers all flows. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1);
    __type(key, struct flow);
    __type(value, __u32);
} datagram_flows SEC(".maps");

static __always_inline int service_has(const __u8 *address, __u16 family, __be16 port) {
    struct service key = {.family = family};
    if (address)
        __builtin_memcpy(key.address, address, sizeof(key.address));
    __u32 *index = bpf_map_lookup_elem(&services, &key);
    return index && port_is_in(*index, port);
}

/*
 * A SYN without our option is a real client's: if a copied flow had its addresses and ports before,
 * that flow is over.
 */
static __always_inline void forget(const struct flow *flow, const struct registered *known) {
    if (known && known->state == UNNUMBERED)
        return;
    __u32 *found = bpf_map_lookup_elem(&learned, flow);
    if (!found)
        return;
    if (is_owned(*found))
        add(FORGOTTEN, 1);
    bpf_map_delete_elem(&learned, flow);
}

/* Learns the flow of a SYN, if a copy has sent it; the verdict. */
static __attribute__((noinline)) int learn_from(struct __sk_buff *skb, struct segment *segment,
                                                struct addresses *addresses) {
    struct flow flow = flow_of(addresses->source, addresses->destination, segment->source_port,
                               segment->destination_port);
    struct registered *known = registered_as(&flow);
    int is_registered = known && known->state == OPENING && segment->seq + 1 == known->una;
    __u32 value;
    __u64 cookie;
    if (read_cookie(skb, segment, &cookie)) {
        __u32 *found = bpf_map_lookup_elem(&cookies, &cookie);
        if (!found) {
            add(UNKNOWN_COOKIES, 1);
            return PASS;
        }
        value = *found;
        is_registered = 0;
    } else if (is_registered) {
        value = known->value;
    } else {
        forget(&flow, known);
        return PASS;
    }
    /* What another copy has or had is for the target's TCP to decide. */
    if (!was_learned(&flow) && is_connected(skb, segment, addresses, known)) {
        add(REFUSED, 1);
        return DROP;
    }
    learn(&flow, value, is_registered ? CONFIRMED : LEARNED);
    return PASS;
}

SEC("tc")
int xcopy_learn(struct __sk_buff *skb) {
    struct segment segment;
    struct addresses addresses;
    if (is_certainly_not_ours(skb, DESTINATION_PORT) || parse(skb, &segment) != SEGMENT ||
        (segment.flags & (FLAG_SYN | FLAG_ACK)) != FLAG_SYN ||
        !port_matches(segment.destination_port) ||
        read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    __be16 port = segment.destination_port;
    if (!service_has(addresses.destination, segment.family, port) &&
        !service_has(0, segment.family, port))
        return PASS;
    return learn_from(skb, &segment, &addresses);
}

/*
 * Drops a packet at egress, and its sender must not notice. TCP takes a verdict of DROP for a full
 * queue (NET_XMIT_DROP in tcp_transmit_skb): it sends the bytes again and does not count them as
 * sent before, so that an ACK from the copy would acknowledge what was never sent. A redirect to an
 * interface that does not exist (no interface has index 0) frees the packet and tells TCP that it
 * was sent.
 */
static __always_inline int drop_silently(void) { return bpf_redirect(0, 0); }

/* Whether a packet is an ICMP error about a copied flow: it would reach a client who sent nothing.
 */
static __always_inline int is_error_to_client(struct __sk_buff *skb) {
    struct quoted quoted;
    if (read_quoted(skb, &quoted))
        return 0;
    struct flow flow = flow_of(quoted.addresses.source, quoted.addresses.destination,
                               quoted.ports.source, quoted.ports.destination);
    if (quoted.protocol == IPPROTO_UDP)
        return bpf_map_lookup_elem(&datagram_flows, &flow) != 0;
    __u32 value;
    if (is_learned(&flow, &value))
        return 1;
    struct registered *known = registered_as(&flow);
    return known && has_sent(known, bpf_ntohl(quoted.ports.seq));
}

/* Catches what a target answers to a registered UDP flow, with all fragments. */
static __attribute__((noinline)) int catch_datagram(struct __sk_buff *skb) {
    struct segment segment;
    struct addresses addresses;
    struct piece piece;
    if (is_certainly_no_datagram(skb, SOURCE_PORT))
        return PASS;
    enum datagram kind = parse_datagram(skb, &segment, &piece);
    if (kind == NO_DATAGRAM || read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    if (kind == LATER_FRAGMENT)
        return recall_first_fragment(&addresses, &piece, now_us, 0) ? drop_silently() : PASS;
    struct flow flow = flow_of(addresses.destination, addresses.source, segment.destination_port,
                               segment.source_port);
    __u32 *owner = bpf_map_lookup_elem(&datagram_flows, &flow);
    if (!owner)
        return PASS;
    if (kind == FIRST_FRAGMENT)
        remember_first_fragment(&addresses, &piece, 1, 0, now_us);
    if (alive(now_us, ONLY_WORKER))
        capture_headers(skb, AT_TC, &segment, *owner, now_us, ONLY_WORKER);
    else
        add(INERT, 1);
    return drop_silently();
}

/* Whether a packet of the target is in the flow of a copy; then sets what stands for the copy. */
static __always_inline int is_copied(const struct flow *flow, const struct segment *segment,
                                     __u32 *value) {
    int found = is_learned(flow, value);
    int has_owner = found && (*value & OWNER) != FORMER;
    /* Only a new connection takes a flow from another copy. */
    if (has_owner && !(segment->flags & (FLAG_SYN | FLAG_RST)))
        return 1;
    struct registered *known = registered_as(flow);
    if (!known || (has_owner && (known->value == (*value & ~UNPROVED) || known->state == OPEN)) ||
        !proves(known, segment))
        return found;
    *value = known->value;
    if (known->state == UNNUMBERED)
        *value |= UNPROVED;
    learn(flow, *value, CONFIRMED);
    return 1;
}

SEC("tc")
int xcopy_catch(struct __sk_buff *skb) {
    struct segment segment;
    struct addresses addresses;
    if (is_certainly_not_ours(skb, SOURCE_PORT))
        return catch_datagram(skb);
    enum parsed parsed = parse(skb, &segment);
    if (parsed == OTHER && is_error_to_client(skb)) {
        add(ICMP_ERRORS, 1);
        return drop_silently();
    }
    if (parsed == OTHER)
        return catch_datagram(skb);
    if (parsed == FRAGMENT)
        add(FRAGMENTS, 1);
    if (parsed != SEGMENT || !port_matches(segment.source_port) ||
        read_addresses(bytes_of(skb), &segment, &addresses))
        return PASS;
    struct flow flow = flow_of(addresses.destination, addresses.source, segment.destination_port,
                               segment.source_port);
    __u32 value;
    if (!is_copied(&flow, &segment, &value))
        return PASS;
    __u32 index = value & OWNER;
    int is_read = (value & WITH_PAYLOAD) != 0;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    if (alive(now_us, ONLY_WORKER) && is_read)
        capture_payload(skb, AT_TC, &segment, index, WHOLE_PAYLOAD, now_us, ONLY_WORKER);
    else if (alive(now_us, ONLY_WORKER))
        capture_headers(skb, AT_TC, &segment, index, now_us, ONLY_WORKER);
    else
        add(INERT, 1);
    return drop_silently();
}

/*
 * Whether a swallowed segment is captured with its payload. Its copy is not known here, so all are
 * while any copy reads payload. One that is too large for a record is captured as headers.
 */
static __always_inline int is_read(const struct segment *segment, enum hook hook) {
    __u32 worker = ONLY_WORKER;
    volatile struct control *shared = bpf_map_lookup_elem(&control, &worker);
    return shared && shared->is_read && segment->length <= most_captured(hook);
}

/* Whether the headers of a swallowed packet go to user space; counts why not. */
static __always_inline int is_readable(enum parsed parsed, __u64 now_us) {
    if (parsed == SEGMENT && alive(now_us, ONLY_WORKER))
        return 1;
    add(parsed == SEGMENT ? INERT : parsed == FRAGMENT ? FRAGMENTS : UNREADABLE, 1);
    return 0;
}

/*
 * Captures a datagram, or counts an ICMP error; returns whether it was one of them. The later
 * fragments of a datagram have no headers to capture.
 */
static __attribute__((noinline)) int swallow_datagram(struct __sk_buff *skb) {
    struct segment segment;
    struct piece piece;
    struct quoted quoted;
    enum datagram kind = parse_datagram(skb, &segment, &piece);
    if (kind == LATER_FRAGMENT)
        return 1;
    if (kind == NO_DATAGRAM) {
        if (read_quoted(skb, &quoted))
            return 0;
        add(ICMP_ERRORS, 1);
        return 1;
    }
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    if (is_readable(SEGMENT, now_us))
        capture_headers(skb, AT_TC, &segment, NO_SLOT, now_us, ONLY_WORKER);
    return 1;
}

SEC("tc")
int xcopy_swallow(struct __sk_buff *skb) {
    struct segment segment;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    enum parsed parsed = parse(skb, &segment);
    if (parsed == OTHER && swallow_datagram(skb))
        return DROP;
    if (!is_readable(parsed, now_us))
        return DROP;
    if (is_read(&segment, AT_TC))
        capture_payload(skb, AT_TC, &segment, NO_SLOT, WHOLE_PAYLOAD, now_us, ONLY_WORKER);
    else
        capture_headers(skb, AT_TC, &segment, NO_SLOT, now_us, ONLY_WORKER);
    return DROP;
}

static __always_inline int swallow_frame(struct xdp_md *frame, enum hook hook) {
    struct segment segment;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    struct piece piece;
    enum parsed parsed = parse_frame(frame, hook, &segment);
    enum datagram kind = NO_DATAGRAM;
    if (parsed == OTHER)
        kind = parse_datagram_frame(frame, &segment, &piece);
    if (kind == LATER_FRAGMENT)
        return XDP_DROP;
    if (!is_readable(kind != NO_DATAGRAM ? SEGMENT : parsed, now_us))
        return XDP_DROP;
    if (kind == NO_DATAGRAM && is_read(&segment, hook))
        capture_payload(frame, hook, &segment, NO_SLOT, WHOLE_PAYLOAD, now_us, ONLY_WORKER);
    else
        capture_headers(frame, hook, &segment, NO_SLOT, now_us, ONLY_WORKER);
    return XDP_DROP;
}

SEC("xdp")
int xcopy_swallow_xdp(struct xdp_md *frame) { return swallow_frame(frame, AT_XDP); }

/* For kernels that do not take the program above. */
SEC("xdp")
int xcopy_swallow_xdp_linear(struct xdp_md *frame) { return swallow_frame(frame, AT_XDP_LINEAR); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
