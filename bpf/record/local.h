/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Which addresses are this host's. What is sent to another one only passes through, as a router or
 * a host of containers forwards it: it is no request to a service here.
 */
#ifndef XCOPY_LOCAL_H
#define XCOPY_LOCAL_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"
#include "service.h"
#include "settings.h"
#include "state.h"

#define MAX_LOCAL_ADDRESSES 65536
#define MAX_LOCAL_PREFIXES 2048

/* The key of both maps: struct bpf_lpm_trie_key, with the family as the first of its data. */
struct local_prefix {
    __u32 bits; /* 32 of the family, and those of the prefix */
    __u32 family;
    __u8 address[16];
};

/* Whole addresses. User space fills both maps, and follows what comes and goes. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, MAX_LOCAL_ADDRESSES);
    __type(key, struct local_prefix);
    __type(value, __u32);
} local_addresses SEC(".maps");

/* Ranges, by routes of type local. */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, MAX_LOCAL_PREFIXES);
    __type(key, struct local_prefix);
    __type(value, __u32);
} local_prefixes SEC(".maps");

/* A destination whose packets were left out: the first on some CPU. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct service);
} forwarded SEC(".maps");

/* Whether the destination is this host's; loopback is, and so are all groups (multicast). */
static __attribute__((noinline)) int is_local(const struct addresses *addresses, __u32 family) {
    __u8 first = addresses->destination[0];
    struct local_prefix key = {.bits = 32 + 128, .family = family};
    if (family == AF_INET) {
        if (first == 127 || (first & 0xf0) == 0xe0)
            return 1;
        key.bits = 32 + 32;
    } else if (first == 0xff) {
        return 1;
    }
    __builtin_memcpy(key.address, addresses->destination, sizeof(key.address));
    return bpf_map_lookup_elem(&local_addresses, &key) ||
           bpf_map_lookup_elem(&local_prefixes, &key);
}

/* Whether a service was found that has no address: `key` as the look-up has left it. */
static __always_inline int has_any_address(const struct service *key) {
    const __u32 *words = (const __u32 *)key->address;
    return !(words[0] | words[1] | words[2] | words[3]);
}

/* Whether a request to the service that was found with `key` only passes through; counts it. */
static __always_inline int is_forwarded(const struct service *key,
                                        const struct addresses *addresses) {
    if (!only_local || !has_any_address(key) || is_local(addresses, key->family))
        return 0;
    __u32 zero = 0;
    struct counters *values = bpf_map_lookup_elem(&counters, &zero);
    struct service *example = bpf_map_lookup_elem(&forwarded, &zero);
    if (!values || !example)
        return 1;
    if (!values->at[FORWARDED]++) {
        __builtin_memcpy(example->address, addresses->destination, sizeof(example->address));
        example->port = key->port;
        example->family = key->family;
    }
    return 1;
}

#endif
