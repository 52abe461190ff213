/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A struct_ops type with members that no kernel has. Expected: loaded, because they are zero.
 */
#include "program.h"
#include "tcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct tcp_congestion_ops___newer {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	u32 (*new_callback)(struct sock *sk);
	u64 new_number;
	char name[16];
} __core;

SEC("struct_ops")
u32 BPF_PROG(ssthresh, struct sock *sk)
{
	return 10;
}

SEC("struct_ops")
u32 BPF_PROG(undo_cwnd, struct sock *sk)
{
	return 10;
}

SEC("struct_ops")
void BPF_PROG(cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
}

SEC(".struct_ops.link")
struct tcp_congestion_ops___newer newer = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = "rawbpf_newer",
};
