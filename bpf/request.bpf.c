/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * On the ingress of every interface of the online host (or on the egress of a client's): copies
 * what clients send to the services into the rings. Never drops and never changes a packet.
 */
#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "glance.h"
#include "parse.h"
#include "record.h"
#include "ring.h"
#include "state.h"

#define MAX_CAPTURE 65535
#define THINK_UNKNOWN 0xffffffff
#define ACK_SLOTS 65536
#define DUPLICATE_SLOTS 4096
#define DUPLICATE_WINDOW_US 1000000

const volatile struct {
    __u32 own_mark;    /* SO_MARK of all that xcopy sends; 0: none */
    __u32 snap_bytes;  /* of a packet that are captured at most */
    __u32 is_outgoing; /* requests leave this host */
} settings = {};

struct service {
    __u8 address[16]; /* zero: any address of this host; of requests that leave it: any at all */
    __be16 port;
    __u16 family;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct service);
    __type(value, __u32);
} services SEC(".maps");

/*
 * The last pure ACK of a flow: the client has read the response, what follows is its think time. Or
 * its SYN: the pure ACK that comes next ends the handshake and tells where the server's bytes
 * begin.
 */
struct ack_seen {
    __u32 hash;
    __u32 seq;
    __u32 ack;
    __u32 time_us;
    __u32 is_syn;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, ACK_SLOTS);
    __type(key, __u32);
    __type(value, struct ack_seen);
} acks SEC(".maps");

/* A packet as it was captured, to know it again on the next interface that it crosses. */
struct packet_seen {
    __u32 hash;
    __u32 seq;
    __u32 ack;
    __u32 length;
    __u32 id_and_flags;
    __u32 ifindex;
    __u32 time_us;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, DUPLICATE_SLOTS);
    __type(key, __u32);
    __type(value, struct packet_seen);
} packets SEC(".maps");

static __always_inline __u32 *find_service(struct __sk_buff *skb, const struct segment *segment,
                                           const struct addresses *addresses) {
    struct service key = {.port = segment->destination_port, .family = segment->family};
    __builtin_memcpy(key.address, addresses->destination, sizeof(key.address));
    __u32 *index = bpf_map_lookup_elem(&services, &key);
    if (index || (!settings.is_outgoing && skb->pkt_type != PACKET_HOST))
        return index;
    __builtin_memset(key.address, 0, sizeof(key.address));
    return bpf_map_lookup_elem(&services, &key);
}

static __always_inline __u32 flow_hash(const struct segment *segment,
                                       const struct addresses *addresses) {
    const __u32 *words = (const __u32 *)addresses;
    __u32 hash = (__u32)segment->source_port << 16 | segment->destination_port;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        hash = (hash ^ words[i]) * 0x9e3779b1;
        hash ^= hash >> 15;
    }
    return hash;
}

/* Remembers a pure ACK, or a SYN. Whether the ACK is the one that ends a handshake. */
static __always_inline int remember_ack(const struct segment *segment, __u32 hash, __u32 now_us) {
    __u32 slot = hash % ACK_SLOTS;
    struct ack_seen *seen = bpf_map_lookup_elem(&acks, &slot);
    if (!seen)
        return 0;
    int is_syn = segment->flags & FLAG_SYN;
    int ends_handshake = !is_syn && seen->is_syn && seen->hash == hash && seen->seq == segment->seq;
    seen->hash = hash;
    /* Behind the SYN, and the data that it may carry (TCP Fast Open). */
    __u32 data = segment->length - segment->payload_offset;
    seen->seq = is_syn ? segment->seq + 1 + data : segment->seq;
    seen->ack = segment->ack;
    seen->time_us = now_us;
    seen->is_syn = is_syn;
    return ends_handshake;
}

static __always_inline __u32 think_time(const struct segment *segment, __u32 hash, __u32 now_us) {
    __u32 slot = hash % ACK_SLOTS;
    struct ack_seen *seen = bpf_map_lookup_elem(&acks, &slot);
    if (!seen || seen->is_syn || seen->hash != hash || seen->seq != segment->seq ||
        seen->ack != segment->ack)
        return THINK_UNKNOWN;
    return now_us - seen->time_us;
}

/* Whether another interface showed the same packet within the last second; remembers it if not. */
static __always_inline int is_duplicate(const struct segment *segment, __u32 hash, __u32 ifindex,
                                        __u32 now_us) {
    __u32 id_and_flags = (__u32)segment->id << 16 | segment->flags;
    __u32 slot = (hash ^ segment->seq ^ segment->ack) * 0x9e3779b1 >> 20;
    struct packet_seen *seen = bpf_map_lookup_elem(&packets, &slot);
    if (!seen)
        return 0;
    if (seen->hash == hash && seen->seq == segment->seq && seen->ack == segment->ack &&
        seen->length == segment->length && seen->id_and_flags == id_and_flags &&
        seen->ifindex != ifindex && now_us - seen->time_us < DUPLICATE_WINDOW_US)
        return 1;
    seen->hash = hash;
    seen->seq = segment->seq;
    seen->ack = segment->ack;
    seen->length = segment->length;
    seen->id_and_flags = id_and_flags;
    seen->ifindex = ifindex;
    seen->time_us = now_us;
    return 0;
}

static __always_inline int put_packet(struct __sk_buff *skb, void *ring,
                                      const struct record *header, __u32 offset) {
    __u32 bytes = header->captured;
#define UP_TO(space)                                                                               \
    if (bytes <= (space))                                                                          \
    return put(skb, ring, header, offset, space)
    UP_TO(128);
    UP_TO(256);
    UP_TO(512);
    UP_TO(1024);
    UP_TO(1600);
    UP_TO(2048);
    UP_TO(4096);
    UP_TO(8192);
    UP_TO(16384);
    UP_TO(32768);
    UP_TO(65536);
#undef UP_TO
    return 1;
}

static __always_inline void capture(struct __sk_buff *skb, const struct segment *segment,
                                    __u32 index, __u64 now_us, __u32 think_us) {
    void *ring = ring_of_this_cpu();
    if (!ring)
        return;
    struct record header = {
        .time_us = now_us,
        .think_us = think_us,
        .length = segment->length,
        .captured =
            segment->length < settings.snap_bytes ? segment->length : settings.snap_bytes,
        .tcp_offset = segment->tcp_offset,
        .payload_offset = segment->payload_offset,
        .index = index,
        .ifindex = skb->ifindex,
    };
    int result = put_packet(skb, ring, &header, network_offset(skb) + segment->ip);
    if (result < 0) {
        add(REQUEST_RING_FULL, 1);
    } else if (!result) {
        add(REQUESTS_CAPTURED, 1);
        add(REQUEST_BYTES, segment->length);
    }
}

SEC("tc")
int xcopy_request(struct __sk_buff *skb) {
    struct segment segment;
    if (is_certainly_not_ours(skb, DESTINATION_PORT))
        return PASS;
    if (settings.own_mark && skb->mark == settings.own_mark) {
        add(OWN_MARK, 1);
        return PASS;
    }
    enum parsed parsed = parse(skb, &segment);
    if (parsed == FRAGMENT)
        add(FRAGMENTS, 1);
    if (parsed != SEGMENT || !port_matches(segment.destination_port))
        return PASS;
    struct addresses addresses;
    if (read_addresses(skb, &segment, &addresses))
        return PASS;
    __u32 *index = find_service(skb, &segment, &addresses);
    if (!index)
        return PASS;
    __u64 now_us = bpf_ktime_get_ns() / 1000;
    if (!alive(now_us)) {
        add(INERT, 1);
        return PASS;
    }
    if (segment.length > MAX_CAPTURE) {
        add(OVERSIZE, 1);
        return PASS;
    }
    __u32 hash = flow_hash(&segment, &addresses);
    if (is_left_out(hash)) {
        add(UNSAMPLED, 1);
        return PASS;
    }
    if (segment.length == segment.payload_offset &&
        !(segment.flags & (FLAG_SYN | FLAG_FIN | FLAG_RST)) &&
        !remember_ack(&segment, hash, now_us)) {
        add(PURE_ACKS, 1);
        return PASS;
    }
    if (is_duplicate(&segment, hash, skb->ifindex, now_us)) {
        add(DUPLICATES, 1);
        return PASS;
    }
    if (segment.flags & FLAG_SYN)
        remember_ack(&segment, hash, now_us);
    capture(skb, &segment, *index, now_us, think_time(&segment, hash, now_us));
    return PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
