/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A sleepable struct_ops program. Expected: loaded with BPF_F_SLEEPABLE; whether the kernel allows that is up to the
 * struct_ops type. struct tcp_congestion_ops takes the program but never calls it where it might sleep.
 */
#include "program.h"
#include "tcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("struct_ops.s/ssthresh")
u32 BPF_PROG(sleepable, struct sock *sk)
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
struct tcp_congestion_ops sleeper = {
	.ssthresh = (void *)sleepable,
	.undo_cwnd = (void *)undo_cwnd,
	.cong_avoid = (void *)cong_avoid,
	.name = "rawbpf_sleeper",
};
