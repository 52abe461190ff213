/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An MPTCP packet scheduler that keeps to the first usable subflow that is no backup, and takes a backup only if
 * there is no other.
 *
 * Kernel: Linux 7.3 with the patch that lets BPF implement struct mptcp_sched_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_bkup.o && sysctl net.mptcp.scheduler=bpf_bkup
 */
#include "mptcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("struct_ops")
int BPF_PROG(bkup_get_send, struct mptcp_sock *msk)
{
	u32 backup = 0, regular = 0;

	for_each_subflow(subflow, msk) {
		if (!mptcp_subflow_active(subflow))
			continue;
		if (!is_backup(subflow)) {
			regular = subflow->subflow_id;
			break;
		}
		if (!backup)
			backup = subflow->subflow_id;
	}
	return schedule_subflow(msk, regular ? regular : backup);
}

SEC(".struct_ops.link")
struct mptcp_sched_ops bkup = {
	.get_send = (void *)bkup_get_send,
	.name = "bpf_bkup",
};
