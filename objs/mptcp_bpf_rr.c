/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A round-robin MPTCP packet scheduler: each piece of data goes over the next subflow in turn.
 *
 * Whose turn it is lies in a socket storage, so that connections do not disturb each other and a closed one leaves
 * nothing behind.
 *
 * Kernel: Linux 7.3 with the patch that lets BPF implement struct mptcp_sched_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_rr.o && sysctl net.mptcp.scheduler=bpf_rr
 */
#include "mptcp.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct rr_turn {
	u32 last_subflow_id; /* as the kernel numbers them, from 1; 0 before the first turn */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rr_turn);
} mptcp_rr_map SEC(".maps");

u64 calls; /* how often the kernel asked, over all connections */

/* TCP has neither unsent nor unacknowledged data of its own. */
static bool is_idle(struct mptcp_subflow_context *subflow)
{
	struct tcp_sock *tp = core_cast(subflow->tcp_sock, struct tcp_sock);

	return tp->packets_out == 0 && tp->write_seq == tp->snd_nxt;
}

/* The usable subflow after the last one, or else the first usable one of the list; 0 if there is none. */
static u32 next_in_turn(struct mptcp_sock *msk, u32 last_id, bool idle_only)
{
	bool after_last = false;
	u32 first_id = 0;

	for_each_subflow(subflow, msk) {
		u32 id = subflow->subflow_id;

		if (mptcp_subflow_active(subflow) && (!idle_only || is_idle(subflow))) {
			if (after_last)
				return id;
			if (!first_id)
				first_id = id;
		}
		if (id == last_id)
			after_last = true;
	}
	return first_id;
}

static int take_turn(struct mptcp_sock *msk, bool idle_only)
{
	struct rr_turn *turn;
	u32 id;

	__sync_fetch_and_add(&calls, 1);
	turn = bpf_sk_storage_get(&mptcp_rr_map, msk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!turn)
		return -ENOMEM;
	id = next_in_turn(msk, turn->last_subflow_id, idle_only);
	if (!id)
		return -EINVAL;
	turn->last_subflow_id = id;
	return schedule_subflow(msk, id);
}

SEC("struct_ops")
int BPF_PROG(rr_get_send, struct mptcp_sock *msk)
{
	return take_turn(msk, false);
}

/* Data that one subflow could not deliver goes to one that has nothing else to do. */
SEC("struct_ops")
int BPF_PROG(rr_get_retrans, struct mptcp_sock *msk)
{
	return take_turn(msk, true);
}

SEC(".struct_ops.link")
struct mptcp_sched_ops rr = {
	.get_send = (void *)rr_get_send,
	.get_retrans = (void *)rr_get_retrans,
	.name = "bpf_rr",
};
