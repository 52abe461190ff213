/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The simplest MPTCP packet scheduler: everything goes over the first subflow, the one that opened the connection.
 *
 * Kernel: Linux 7.3 with the patch that lets BPF implement struct mptcp_sched_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_first.o && sysctl net.mptcp.scheduler=bpf_first
 */
#include "mptcp.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static int schedule_first(struct mptcp_sock *msk)
{
	for_each_subflow(subflow, msk) {
		if (subflow->tcp_sock == msk->first) {
			mptcp_subflow_set_scheduled(subflow, true);
			return 0;
		}
	}
	return -EINVAL;
}

SEC("struct_ops")
int BPF_PROG(first_get_send, struct mptcp_sock *msk)
{
	return schedule_first(msk);
}

SEC("struct_ops")
int BPF_PROG(first_get_retrans, struct mptcp_sock *msk)
{
	return schedule_first(msk);
}

SEC(".struct_ops.link")
struct mptcp_sched_ops first = {
	.get_send = (void *)first_get_send,
	.get_retrans = (void *)first_get_retrans,
	.name = "bpf_first",
};
