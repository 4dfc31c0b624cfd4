/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What this host's own TCP says about a flow. */
#ifndef XCOPY_CONNECTION_H
#define XCOPY_CONNECTION_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"
#include "registered.h"

/*
 * Whether the socket found has a connection whose answers a SYN would take, and that is not the one
 * in `known`, the registration of its flow or null. One with a handshake to finish is a connection
 * too, and stays one until the client's first data where the service defers accepting
 * (tcp_check_req). A socket that listens, or that is in TIME_WAIT, is no obstacle: TCP itself
 * decides there.
 */
static __always_inline int is_of_others(struct bpf_sock *socket, const struct registered *known) {
    __u32 state = socket->state;
    if (state == BPF_TCP_LISTEN || state == BPF_TCP_TIME_WAIT || state == BPF_TCP_CLOSE)
        return 0;
    if (!known || known->state != OPEN)
        return 1;
    struct bpf_tcp_sock *tcp = bpf_tcp_sock(socket);
    return !tcp || !is_near(known, tcp->snd_nxt, tcp->rcv_nxt);
}

/* Whether this host has a connection with the addresses and ports of a packet that came in. */
static __always_inline int is_connected(struct __sk_buff *skb, const struct segment *segment,
                                        const struct addresses *addresses,
                                        const struct registered *known) {
    struct bpf_sock_tuple tuple = {};
    struct bpf_sock *socket;
    if (segment->family == AF_INET) {
        __builtin_memcpy(&tuple.ipv4.saddr, addresses->source, 4);
        __builtin_memcpy(&tuple.ipv4.daddr, addresses->destination, 4);
        tuple.ipv4.sport = segment->source_port;
        tuple.ipv4.dport = segment->destination_port;
        socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
    } else {
        __builtin_memcpy(tuple.ipv6.saddr, addresses->source, 16);
        __builtin_memcpy(tuple.ipv6.daddr, addresses->destination, 16);
        tuple.ipv6.sport = segment->source_port;
        tuple.ipv6.dport = segment->destination_port;
        socket = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
    }
    if (!socket)
        return 0;
    int is_other = is_of_others(socket, known);
    bpf_sk_release(socket);
    return is_other;
}

#endif
