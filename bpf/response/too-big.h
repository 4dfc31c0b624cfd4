/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* ICMP messages that say that a packet was too big for the path (RFC 1191, RFC 8201). */
#ifndef XCOPY_TOO_BIG_H
#define XCOPY_TOO_BIG_H

#include "../packet/quoted.h"

#define FRAGMENTATION_NEEDED 4
#define PACKET_TOO_BIG 2

/* Reads such a message about a TCP packet. 0, or -1 if the packet is none. */
static __always_inline int read_too_big(struct __sk_buff *skb, struct quoted *quoted) {
    if (read_quoted(skb, quoted) || quoted->protocol != IPPROTO_TCP)
        return -1;
    if (quoted->family == AF_INET)
        return quoted->type == DESTINATION_UNREACHABLE && quoted->code == FRAGMENTATION_NEEDED ? 0
                                                                                               : -1;
    return quoted->type == PACKET_TOO_BIG ? 0 : -1;
}

#endif
