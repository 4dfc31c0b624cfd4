/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* Hands TCP over IPv4 from port 8080 on to another program; all else passes. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TCX_NEXT (-1)

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} programs SEC(".maps");

static __always_inline int matches(const __u8 *frame, const void *end) {
    return (const void *)(frame + ETH_HLEN + 22) <= end &&
           *(const __be16 *)(frame + 12) == bpf_htons(ETH_P_IP) &&
           frame[ETH_HLEN + 9] == IPPROTO_TCP &&
           *(const __be16 *)(frame + ETH_HLEN + 20) == bpf_htons(8080);
}

SEC("tc")
int filter_tc(struct __sk_buff *skb) {
    if (matches((const void *)(long)skb->data, (const void *)(long)skb->data_end))
        bpf_tail_call(skb, &programs, 0);
    return TCX_NEXT;
}

SEC("xdp")
int filter_xdp(struct xdp_md *frame) {
    if (matches((const void *)(long)frame->data, (const void *)(long)frame->data_end))
        bpf_tail_call(frame, &programs, 0);
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
