/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet scheduler that goes from each subflow to its TCP socket, and back, and counts its turns in the storage of that
 * socket. It sends over the first subflow.
 *
 * Kernel: Linux 7.3 with the patch that lets BPF implement struct mptcp_sched_ops (tools/vm boots one).
 */
#include "mptcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern struct sock *bpf_mptcp_subflow_tcp_sock(const struct mptcp_subflow_context *subflow) __ksym;
extern struct mptcp_subflow_context *bpf_mptcp_subflow_ctx(const struct sock *sk) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32);
} turns SEC(".maps");

u32 back;      /* came back to the same subflow */
u32 elsewhere; /* did not */
u32 not_one;   /* the MPTCP socket is no subflow of its own */
u32 most_turns;

SEC("struct_ops")
int BPF_PROG(sockets_get_send, struct mptcp_sock *msk)
{
	bool is_first = true;

	if (!bpf_mptcp_subflow_ctx((struct sock *)msk))
		not_one++;
	for_each_subflow(subflow, msk) {
		struct mptcp_subflow_context *found = bpf_mptcp_subflow_ctx(bpf_mptcp_subflow_tcp_sock(subflow));
		u32 *count = bpf_sk_storage_get(&turns, subflow->tcp_sock, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

		if (found && found->subflow_id == subflow->subflow_id)
			back++;
		else
			elsewhere++;
		if (count && ++*count > most_turns)
			most_turns = *count;
		if (is_first)
			mptcp_subflow_set_scheduled(subflow, true);
		is_first = false;
	}
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops sockets = {
	.get_send = (void *)sockets_get_send,
	.name = "bpf_sockets",
};
