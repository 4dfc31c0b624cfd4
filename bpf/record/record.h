/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What the kernel programs and user space share: ring records and the control block. */
#ifndef XCOPY_RECORD_H
#define XCOPY_RECORD_H

/* Before every packet in a ring; src/capture/ring.ts reads it with the same offsets. */
struct record {
    __u64 time_us;        /* CLOCK_MONOTONIC */
    __u32 think_us;       /* since the client's pure ACK with this seq and ack; ~0: none was seen.
                             UDP: payload bytes of each datagram, if the packet is several; or ~0 */
    __u32 length;         /* bytes of the IP packet on the wire */
    __u32 captured;       /* bytes of it that follow this header */
    __u16 tcp_offset;     /* of the TCP or UDP header, from the IP header; 0: an ICMP error */
    __u16 payload_offset; /* of the TCP or UDP payload, from the IP header */
    __u32 index;          /* request: its service; response: its path; intercept: slot of a copy */
    __u32 ifindex;
};

/* One mmap'd element per worker, in a cache line of its own, written by user space. */
struct control {
    __u32 heartbeat_ms; /* CLOCK_MONOTONIC / 1e6 ns, low 32 bits; older than HEARTBEAT_LIMIT_MS:
                           nothing is captured */
    __u32 waiting;  /* 1: wake user space at the next record; the program that wakes it clears it */
    __u32 left_out; /* client flows whose hash is below this are not captured; 0: all are */
    __u32 is_dead;  /* 1: the worker has died, and its heartbeat will not come back */
    __u32 is_read;  /* 1: an assistant captures segments with payload, which some copy reads */
    __u32 registers; /* 1: some copy has registered a flow with an intercept on the target */
    __u32 unused[10];
};

/* Set in `index` of what a service sent to a client (the outgoing program). */
#define OUTGOING 0x80000000
/* Set in `index` of a UDP datagram to a broadcast or multicast address. */
#define NOT_UNICAST 0x40000000
/* `index` of a fragment of a UDP datagram: its service is known after reassembly. */
#define FRAGMENT_INDEX 0x20000000
/* The same of a TCP segment. */
#define SEGMENT_FRAGMENT_INDEX 0x20000001
/*
 * Set in `index` of a request whose TCP or UDP checksum needs no look: the NIC or the kernel has
 * verified it, or the kernel has put the packet together from several.
 */
#define VERIFIED 0x10000000
/* Set in `index` of a request that acknowledges much more, or less, than its client has before. */
#define ACKS_FAR 0x08000000
/* In place of an index: the packet is no request. */
#define NO_REQUEST 0xffffffff

#define HEARTBEAT_LIMIT_MS 2000

#endif
