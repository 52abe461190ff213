/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks what the kernel's iterators offer of an MPTCP socket, each time that the application asks it for
 * TCP_IS_MPTCP: its subflows, and the local addresses of both of the kernel's path managers.
 *
 * Kernel: Linux 7.3 with the patches that add the iterators (tools/vm boots one), CONFIG_CGROUP_BPF.
 * Load:   rawbpf load objs/mptcp_bpf_iters.o --cgroup /sys/fs/cgroup/NAME
 */
#include "mptcp_pm.h"
#include "sockopt.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* As found last. */
u32 subflows;
u32 subflow_ids; /* the sum of them, as all below */
u32 endpoints;
u32 endpoint_ids;
u32 userspace_addresses;
u32 userspace_ids;

static void walk_subflows(struct bpf_sock *sk)
{
	subflows = subflow_ids = 0;
	for_each_subflow(subflow, sk) {
		subflows++;
		subflow_ids += subflow->subflow_id;
	}
}

static void walk_endpoints(struct bpf_sock *sk)
{
	endpoints = endpoint_ids = 0;
	for_each_address(entry, sk, MPTCP_PM_TYPE_KERNEL) {
		endpoints++;
		endpoint_ids += entry->addr.id;
	}
}

static void walk_userspace_addresses(struct bpf_sock *sk)
{
	userspace_addresses = userspace_ids = 0;
	for_each_address(entry, sk, MPTCP_PM_TYPE_USERSPACE) {
		userspace_addresses++;
		userspace_ids += entry->addr.id;
	}
}

SEC("cgroup/getsockopt")
int on_getsockopt(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk || ctx->level != SOL_TCP || ctx->optname != TCP_IS_MPTCP)
		return 1;
	walk_subflows(sk);
	walk_endpoints(sk);
	walk_userspace_addresses(sk);
	return 1;
}
