/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * struct_ops in each kind of section, for the congestion control that every kernel since 5.6 lets BPF write. Expected:
 * 3 maps of the type struct_ops, of which "optional" and its program are only made when asked for. "plain" is
 * registered by its update and stays until it is deleted; "linked" and "optional" need a link.
 */
#include "program.h"
#include "tcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u64 calls;

struct tcp_congestion_ops___with_flags {
	u32 (*undo_cwnd)(struct sock *sk);
	u32 flags;
	char name[16];
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
} __core;

static __noinline u32 window(struct sock *sk)
{
	calls++;
	return ((struct tcp_sock *)sk)->snd_cwnd;
}

SEC("struct_ops/ssthresh")
u32 BPF_PROG(ssthresh, struct sock *sk)
{
	return window(sk);
}

SEC("struct_ops")
u32 BPF_PROG(undo_cwnd, struct sock *sk)
{
	return window(sk);
}

SEC("struct_ops/any name will do")
void BPF_PROG(cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
	calls += acked;
}

SEC("struct_ops")
void BPF_PROG(only_for_optional, struct sock *sk)
{
}

SEC(".struct_ops")
struct tcp_congestion_ops plain = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)cong_avoid,
	.name = "rawbpf_plain",
};

/* Members in another order than the kernel's, and one that is no function. */
SEC(".struct_ops.link")
struct tcp_congestion_ops___with_flags linked = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)cong_avoid,
	.flags = 2, /* needs ECN */
	.name = "rawbpf_linked",
};

SEC("?.struct_ops.link")
struct tcp_congestion_ops optional = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)cong_avoid,
	.release = (void *)only_for_optional,
	.name = "rawbpf_option",
};
