/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* VLAN tags put on and taken off by tc, for kernels that have no VLAN devices. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int tag(struct __sk_buff *skb) {
    bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 10);
    return TC_ACT_OK;
}

SEC("tc")
int untag(struct __sk_buff *skb) {
    bpf_skb_vlan_pop(skb);
    return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
