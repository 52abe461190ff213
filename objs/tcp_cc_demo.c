/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP congestion control in the manner of Reno, to see and to turn the knobs of: double the window each round trip
 * up to the threshold, then add a little each round trip, and cut it to a share when a packet is lost.
 *
 * Kernel: Linux 6.4 or newer, which has links of struct_ops, with CONFIG_BPF_JIT and BTF.
 * Load:   rawbpf load objs/tcp_cc_demo.o, then setsockopt(TCP_CONGESTION, "bpf_demo") on a socket.
 */
#include "kfuncs.h"
#include "program.h"
#include "tcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Fixed when the object is loaded. */
const volatile u32 keep_percent = 50; /* share of the window that remains after a loss */
const volatile u32 packets_per_rtt = 1;

/* May be changed at any time. */
u32 min_window = 2; /* packets */

/* Over all connections since loading. */
u64 connections;
u64 losses;
u64 acked_packets;
u32 largest_window;

static struct tcp_sock *tcp_sk(struct sock *sk)
{
	return (struct tcp_sock *)sk;
}

static u32 max(u32 a, u32 b)
{
	return a > b ? a : b;
}

static u32 min(u32 a, u32 b)
{
	return a < b ? a : b;
}

static bool in_slow_start(const struct tcp_sock *tp)
{
	return tp->snd_cwnd < tp->snd_ssthresh;
}

/* A window that the sender does not fill says nothing about the network, and does not grow. */
static bool fills_window(const struct tcp_sock *tp)
{
	return core_bitfield(tp, is_cwnd_limited) ||
	       (in_slow_start(tp) && tp->snd_cwnd < 2 * tp->max_packets_out);
}

static void set_window(struct tcp_sock *tp, u32 packets)
{
	tp->snd_cwnd = min(packets, tp->snd_cwnd_clamp);
	if (tp->snd_cwnd > largest_window)
		largest_window = tp->snd_cwnd;
}

/* Returns the acknowledged packets that were not needed to reach the threshold. */
static u32 slow_start(struct tcp_sock *tp, u32 acked)
{
	u32 window = min(tp->snd_cwnd + acked, tp->snd_ssthresh);
	u32 left = acked - (window - tp->snd_cwnd);

	set_window(tp, window);
	return left;
}

/* One round trip acknowledges a window of packets; only then the window grows. */
static void additive_increase(struct tcp_sock *tp, u32 acked)
{
	u32 credit = tp->snd_cwnd_cnt + acked;

	if (credit < tp->snd_cwnd) {
		tp->snd_cwnd_cnt = credit;
		return;
	}
	tp->snd_cwnd_cnt = credit - tp->snd_cwnd;
	set_window(tp, tp->snd_cwnd + packets_per_rtt);
}

SEC("struct_ops")
void BPF_PROG(demo_init, struct sock *sk)
{
	__sync_fetch_and_add(&connections, 1);
}

SEC("struct_ops")
void BPF_PROG(demo_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = tcp_sk(sk);

	__sync_fetch_and_add(&acked_packets, acked);
	if (!fills_window(tp))
		return;
	if (in_slow_start(tp))
		acked = slow_start(tp, acked);
	if (acked)
		additive_increase(tp, acked);
}

SEC("struct_ops")
u32 BPF_PROG(demo_ssthresh, struct sock *sk)
{
	__sync_fetch_and_add(&losses, 1);
	return max(tcp_sk(sk)->snd_cwnd * keep_percent / 100, min_window);
}

/* The loss turned out to be none: packets were merely reordered or late. */
SEC("struct_ops")
u32 BPF_PROG(demo_undo_cwnd, struct sock *sk)
{
	return max(tcp_sk(sk)->snd_cwnd, tcp_sk(sk)->prior_cwnd);
}

SEC(".struct_ops.link")
struct tcp_congestion_ops demo = {
	.init = (void *)demo_init,
	.ssthresh = (void *)demo_ssthresh,
	.cong_avoid = (void *)demo_cong_avoid,
	.undo_cwnd = (void *)demo_undo_cwnd,
	.name = "bpf_demo",
};
