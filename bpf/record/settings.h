/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/* What user space sets before programs are loaded, in this order: see src/capture/maps.ts. */
#ifndef XCOPY_SETTINGS_H
#define XCOPY_SETTINGS_H

#include <linux/bpf.h>

/* SO_MARK of all that xcopy sends; 0: none. */
const volatile __u32 own_mark = 0;
/* 1: pure ACKs (without data, SYN, FIN and RST) are captured, too. */
const volatile __u32 keep_acks = 0;
/* Most bytes that are captured of a packet, from its IP header on. */
const volatile __u32 snaplen = 65535;
/* 1: requests leave this host, and services may have any address. */
const volatile __u32 requests_leave = 0;
/* 1: there are UDP services. */
const volatile __u32 takes_datagrams = 0;
/* 1: a service without address is at this host's own addresses only. */
const volatile __u32 only_local = 0;
/* A pure ACK of each flow is captured as a sign of life once in this time, ms. */
const volatile __u32 sign_span_ms = 60000;

#endif
