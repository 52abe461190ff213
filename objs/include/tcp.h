/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's TCP types, with the members that the objects here use. */
#pragma once

#include "core.h"
#include "types.h"

struct sock {
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
	char name[16];
	void (*init)(struct sock *sk);
	void (*release)(struct sock *sk);
} __core;
