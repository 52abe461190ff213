/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A scheduler for struct mptcp_sched_ops as Linux 6.12 has it: with get_subflow, for data and for retransmissions, in
 * the place of get_send and get_retrans.
 */
#include "program.h"
#include "tcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct mptcp_sock;

struct mptcp_sched_data {
	bool reinject;
	u8 subflows;
};

struct mptcp_sched_ops {
	int (*get_subflow)(struct mptcp_sock *msk, struct mptcp_sched_data *data);
	char name[16];
	void (*init)(struct mptcp_sock *msk);
	void (*release)(struct mptcp_sock *msk);
};

SEC("struct_ops")
int BPF_PROG(old_get_subflow, struct mptcp_sock *msk, struct mptcp_sched_data *data)
{
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops old = {
	.get_subflow = (void *)old_get_subflow,
	.name = "bpf_old",
};
