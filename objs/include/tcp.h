/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's TCP types, with the members that the objects here use. */
#pragma once

#include "core.h"
#include "types.h"

struct in6_addr {
	union {
		u8 u6_addr8[16];
		u32 u6_addr32[4];
	} in6_u;
};

/* Bytes of the name of a congestion control, with the zero that ends it. */
#define TCP_CA_NAME_MAX 16

struct sock_common {
	u16 skc_family;
	u16 skc_dport; /* big-endian */
	u32 skc_daddr; /* big-endian */
	u32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} __core;

struct rb_root {
	void *rb_node;
} __core;

struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
	int sk_wmem_queued;
	int sk_sndbuf;
	unsigned long sk_pacing_rate; /* bytes a second */
	u32 sk_mark;
	struct rb_root tcp_rtx_queue; /* sent, and not acknowledged yet */
} __core;

struct inet_connection_sock {
	const struct tcp_congestion_ops *icsk_ca_ops;
} __core;

struct tcp_sock {
	u32 write_seq;
	u32 snd_nxt;
	u32 packets_out;
	u32 max_packets_out;
	u32 snd_cwnd;
	u32 snd_cwnd_cnt;
	u32 snd_cwnd_clamp;
	u32 snd_ssthresh;
	u32 prior_cwnd;
	u8 is_cwnd_limited : 1;
	bool is_mptcp;
} __core;

struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	char name[TCP_CA_NAME_MAX];
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
} __core;
