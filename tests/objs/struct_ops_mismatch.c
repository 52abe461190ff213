/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * struct_ops types that the kernel's do not match. Expected: unasked nothing is loaded; asked for, each map is an
 * error that names its type and member. (libbpf 1.7 takes just the first variable of a "?" section for optional.)
 */
#include "program.h"
#include "tcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Members that no kernel has have to be zero. */
struct tcp_congestion_ops___newer {
	u32 (*new_callback)(struct sock *sk);
	u64 new_number;
	char name[16];
} __core;

/* Members of another size or kind than the kernel's. */
struct tcp_congestion_ops___short_name {
	char name[8];
} __core;

struct tcp_congestion_ops___no_function {
	u64 ssthresh;
	char name[16];
} __core;

struct rawbpf_no_such_ops {
	u32 (*ssthresh)(struct sock *sk);
} __core;

SEC("struct_ops")
u32 BPF_PROG(ssthresh, struct sock *sk)
{
	return 10;
}

SEC("struct_ops")
u32 BPF_PROG(for_new_callback, struct sock *sk)
{
	return 1;
}

SEC("struct_ops")
u32 BPF_PROG(for_no_such_ops, struct sock *sk)
{
	return 1;
}

SEC("?.struct_ops.link")
struct tcp_congestion_ops___newer new_program = {
	.new_callback = (void *)for_new_callback,
	.name = "rawbpf_program",
};

SEC("?.struct_ops.link")
struct tcp_congestion_ops___newer new_value = {
	.new_number = 1,
	.name = "rawbpf_value",
};

SEC("?.struct_ops.link")
struct tcp_congestion_ops___short_name short_name = {
	.name = "short",
};

SEC("?.struct_ops.link")
struct tcp_congestion_ops___no_function no_function = {
	.ssthresh = 1,
	.name = "rawbpf_number",
};

/* One program cannot stand for two members. */
SEC("?.struct_ops.link")
struct tcp_congestion_ops twice = {
	.ssthresh = (void *)ssthresh,
	.undo_cwnd = (void *)ssthresh,
	.name = "rawbpf_twice",
};

SEC("?.struct_ops.link")
struct rawbpf_no_such_ops no_such_ops = {
	.ssthresh = (void *)for_no_such_ops,
};
