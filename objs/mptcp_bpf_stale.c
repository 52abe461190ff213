/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An MPTCP packet scheduler that skips the subflows which it is told are stale. The list is kept with each
 * connection, in a socket storage: whoever holds the socket writes it, by the file descriptor.
 *
 * Kernel: Linux 7.3 with the patch that lets BPF implement struct mptcp_sched_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_stale.o && sysctl net.mptcp.scheduler=bpf_stale
 */
#include "mptcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MAX_STALE 8

struct stale {
	u32 count;
	u32 ids[MAX_STALE];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stale);
} stale_subflows SEC(".maps");

u64 skipped; /* how often a stale subflow was passed over */

static bool is_stale(const struct stale *stale, u32 id)
{
	u32 i;

	for (i = 0; i < MAX_STALE && i < stale->count; i++)
		if (stale->ids[i] == id)
			return true;
	return false;
}

SEC("struct_ops")
int BPF_PROG(stale_get_send, struct mptcp_sock *msk)
{
	struct stale *stale;
	u32 id = 0;

	stale = bpf_sk_storage_get(&stale_subflows, msk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!stale)
		return -ENOMEM;
	for_each_subflow(subflow, msk) {
		if (!mptcp_subflow_active(subflow))
			continue;
		if (is_stale(stale, subflow->subflow_id)) {
			__sync_fetch_and_add(&skipped, 1);
			continue;
		}
		id = subflow->subflow_id;
		break;
	}
	return schedule_subflow(msk, id);
}

SEC(".struct_ops.link")
struct mptcp_sched_ops stale = {
	.get_send = (void *)stale_get_send,
	.name = "bpf_stale",
};
