/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What differs between an skb at tc and a frame at XDP: context fields and helpers. */
#ifndef XCOPY_HOOK_H
#define XCOPY_HOOK_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Where a program runs. Always passed as a constant: the code for the other hook is left out. */
enum hook { AT_TC, AT_XDP };

static __always_inline __u32 ifindex_of(void *packet, enum hook hook) {
    return hook == AT_XDP ? ((struct xdp_md *)packet)->ingress_ifindex
                          : ((struct __sk_buff *)packet)->ifindex;
}

/* Copies from any offset of a packet, also from several buffers (XDP: Linux 5.18). 0 on success. */
static __always_inline long load_bytes(void *packet, enum hook hook, __u32 offset, void *to,
                                       __u64 size) {
    return hook == AT_XDP ? bpf_xdp_load_bytes(packet, offset, to, size)
                          : bpf_skb_load_bytes(packet, offset, to, size);
}

#endif
