/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* A flow between a client and a server on this host: the key of maps. */
#ifndef XCOPY_FLOW_H
#define XCOPY_FLOW_H

#include <linux/bpf.h>

/* IPv4 addresses: 4 bytes and zeros. */
struct flow {
    __u8 client[16];
    __u8 server[16];
    __be16 client_port;
    __be16 server_port;
};

static __always_inline struct flow flow_of(const __u8 *client, const __u8 *server,
                                           __be16 client_port, __be16 server_port) {
    struct flow flow;
    __builtin_memcpy(flow.client, client, sizeof(flow.client));
    __builtin_memcpy(flow.server, server, sizeof(flow.server));
    flow.client_port = client_port;
    flow.server_port = server_port;
    return flow;
}

#endif
