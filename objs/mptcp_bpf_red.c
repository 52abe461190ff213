/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An MPTCP packet scheduler: every usable subflow is to send, and the kernel gives each the next piece, not a copy.
 *
 * Kernel: Linux 7.3 with the patch that lets BPF implement struct mptcp_sched_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_red.o && sysctl net.mptcp.scheduler=bpf_red
 */
#include "mptcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("struct_ops")
int BPF_PROG(red_get_send, struct mptcp_sock *msk)
{
	int result = -EINVAL;

	for_each_subflow(subflow, msk) {
		if (mptcp_subflow_active(subflow)) {
			mptcp_subflow_set_scheduled(subflow, true);
			result = 0;
		}
	}
	return result;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops red = {
	.get_send = (void *)red_get_send,
	.name = "bpf_red",
};
