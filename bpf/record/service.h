/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The services whose requests are captured, and the hash of a client's flow. */
#ifndef XCOPY_SERVICE_H
#define XCOPY_SERVICE_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"

struct service {
    __u8 address[16]; /* zero: any address: see local.h */
    __be16 port;
    __u16 family;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct service);
    __type(value, __u32);
} services SEC(".maps");

/* The service with the key's port and family at an address, else the one at any address. */
static __always_inline __u32 *look_up_service(struct service *key, const __u8 *address, int any) {
    __builtin_memcpy(key->address, address, sizeof(key->address));
    __u32 *index = bpf_map_lookup_elem(&services, key);
    if (index || !any)
        return index;
    __builtin_memset(key->address, 0, sizeof(key->address));
    return bpf_map_lookup_elem(&services, key);
}

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct service);
    __type(value, __u32);
} datagram_services SEC(".maps");

/* The same of UDP. */
static __always_inline __u32 *find_datagram_service(struct service *key, const __u8 *address,
                                                    int any) {
    __builtin_memcpy(key->address, address, sizeof(key->address));
    __u32 *index = bpf_map_lookup_elem(&datagram_services, key);
    if (index || !any)
        return index;
    __builtin_memset(key->address, 0, sizeof(key->address));
    return bpf_map_lookup_elem(&datagram_services, key);
}

/* Hash of the flow of a request, whose source is the client. */
static __always_inline __u32 flow_hash(const struct segment *segment,
                                       const struct addresses *addresses) {
    const __u32 *words = (const __u32 *)addresses;
    __u32 hash = (__u32)segment->source_port << 16 | segment->destination_port;
    /* Or a neighbour's address would make up for another port: both are counted up. */
    hash *= 0x9e3779b1;
    hash ^= hash >> 15;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        hash = (hash ^ words[i]) * 0x9e3779b1;
        hash ^= hash >> 15;
    }
    return hash;
}

#endif
