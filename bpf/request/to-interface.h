/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Whether a frame at XDP is addressed to the interface that received it. */
#ifndef XCOPY_TO_INTERFACE_H
#define XCOPY_TO_INTERFACE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "../packet/frame.h"
#include "../record/whole.h"

/* MAC address of each Ethernet interface, by its index: 6 bytes and two zeros. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, MAX_INTERFACES);
    __type(key, __u32);
    __type(value, __u64);
} macs SEC(".maps");

/* The same as PACKET_HOST in skb->pkt_type at tc; at XDP there is no skb yet. */
static __always_inline int is_to_interface(struct xdp_md *frame) {
    __u32 ifindex = frame->ingress_ifindex;
    __u64 *own = bpf_map_lookup_elem(&macs, &ifindex);
    const void *destination = look(bytes_of(frame), 0, ETH_ALEN);
    if (!own || !destination)
        return 0;
    __u64 mac = 0;
    __builtin_memcpy(&mac, destination, ETH_ALEN);
    return mac == *own;
}

#endif
