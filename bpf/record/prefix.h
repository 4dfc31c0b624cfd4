/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* How much is captured of the payload of what servers send. */
#ifndef XCOPY_PREFIX_H
#define XCOPY_PREFIX_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../packet/hook.h"
#include "../packet/parse.h"

/* A prefix: bytes of payload, at most; 0: see the map that it is in. */
#define WHOLE_PAYLOAD 0x7fffffff
/* Set in a prefix: of a segment that begins with a head of HTTP/1.x, HEAD_BYTES are captured. */
#define TAKES_HEADS 0x80000000
#define HEAD_BYTES 4096

/* Whether the payload begins with "HTTP/1.", which need not be in the linear part of the packet. */
static __always_inline int begins_with_head(void *packet, enum hook hook,
                                            const struct segment *segment) {
    __be32 start[2];
    if (load_bytes(packet, hook, segment->ip + segment->payload_offset, start, sizeof(start)))
        return 0;
    return start[0] == bpf_htonl(0x48545450) &&
           (start[1] & bpf_htonl(0xffffff00)) == bpf_htonl(0x2f312e00);
}

/* Bytes of the IP packet up to the end of the prefix of its payload. */
static __always_inline __u32 length_with_prefix(void *packet, enum hook hook,
                                                const struct segment *segment, __u32 prefix) {
    __u32 most = prefix & WHOLE_PAYLOAD;
    /* The options of TCP may be cut. */
    __u32 payload =
        segment->length > segment->payload_offset ? segment->length - segment->payload_offset : 0;
    if (payload > most && prefix & TAKES_HEADS && most < HEAD_BYTES &&
        begins_with_head(packet, hook, segment))
        most = HEAD_BYTES;
    return payload > most ? segment->payload_offset + most : segment->length;
}

#endif
