/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* The TCP option that marks the SYN of a copied flow: experimental (RFC 6994), with a cookie. */
#ifndef XCOPY_OPTION_H
#define XCOPY_OPTION_H

#include <linux/bpf.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet/parse.h"

#define OPTION_END 0
#define OPTION_NOTHING 1
#define OPTION_EXPERIMENT 253
#define OPTION_BYTES 12
#define EXPERIMENT 0x7863 /* "xc" */
/* Options that a header can have: 40 bytes, and each option takes at least one. */
#define MAX_OPTIONS 40

/* Whether a segment has the option; then sets `cookie`, as it is on the wire. */
static __always_inline int read_cookie(struct __sk_buff *skb, const struct segment *segment,
                                       __u64 *cookie) {
    __u32 at = segment->ip + segment->tcp_offset + sizeof(struct tcphdr);
    __u32 end = segment->ip + segment->payload_offset;
#pragma nounroll
    for (int i = 0; i < MAX_OPTIONS; i++) {
        struct {
            __u8 kind;
            __u8 length;
            __be16 experiment;
        } option;
        if (at + 2 > end || bpf_skb_load_bytes(skb, at, &option, 2) || option.kind == OPTION_END)
            return 0;
        if (option.kind == OPTION_NOTHING) {
            at++;
            continue;
        }
        if (option.length < 2)
            return 0;
        if (option.kind == OPTION_EXPERIMENT && option.length == OPTION_BYTES &&
            at + OPTION_BYTES <= end && !bpf_skb_load_bytes(skb, at, &option, sizeof(option)) &&
            option.experiment == bpf_htons(EXPERIMENT))
            return !bpf_skb_load_bytes(skb, at + sizeof(option), cookie, sizeof(*cookie));
        at += option.length;
    }
    return 0;
}

#endif
