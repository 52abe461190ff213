/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy of the kernel's userspace MPTCP path manager, in BPF: nothing happens by itself. A daemon creates and
 * destroys the subflows of each connection over netlink, and says what is announced; every subflow of the peer is
 * accepted.
 *
 * Kernel: Linux 7.3 with the patches that let BPF implement struct mptcp_pm_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_userspace_pm.o && sysctl net.mptcp.path_manager=bpf_userspace
 */
#include "mptcp_pm.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern bool CONFIG_MPTCP_IPV6 __kconfig __weak;

/* The address that the connection has already, and its id: -1 if it has none such. */
static int find_address(struct mptcp_sock *msk, const struct mptcp_addr_info *address, u32 *flags)
{
	for_each_address(entry, msk, MPTCP_PM_TYPE_USERSPACE) {
		if (same_address(&entry->addr, address)) {
			*flags = entry->flags;
			return entry->addr.id;
		}
	}
	return -1;
}

SEC("struct_ops")
int BPF_PROG(userspace_get_local_id, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	struct mptcp_addr_info address = {};
	u32 flags;
	int id;

	if (local->family == AF_INET6 && !CONFIG_MPTCP_IPV6)
		return -EINVAL;
	id = find_address(msk, local, &flags);
	if (id >= 0)
		return id;
	copy_address(&address, local);
	address.id = 0; /* the next that is free */
	address.port = 0;
	return bpf_mptcp_pm_add_local(msk, &address);
}

SEC("struct_ops")
bool BPF_PROG(userspace_get_priority, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	u32 flags = 0;

	return find_address(msk, local, &flags) >= 0 && flags & MPTCP_PM_ADDR_FLAG_BACKUP;
}

SEC("struct_ops")
bool BPF_PROG(userspace_accept_new_subflow, struct mptcp_sock *msk)
{
	return true;
}

/* The daemon hears of it over netlink. */
SEC("struct_ops")
bool BPF_PROG(userspace_accept_new_address, struct mptcp_sock *msk, const struct mptcp_addr_info *remote)
{
	return false;
}

/* Without these two, the kernel would connect from its endpoints. */
SEC("struct_ops")
void BPF_PROG(userspace_established, struct mptcp_sock *msk)
{
}

SEC("struct_ops")
void BPF_PROG(userspace_subflow_established, struct mptcp_sock *msk)
{
}

SEC(".struct_ops.link")
struct mptcp_pm_ops userspace_pm = {
	.get_local_id = (void *)userspace_get_local_id,
	.get_priority = (void *)userspace_get_priority,
	.accept_new_subflow = (void *)userspace_accept_new_subflow,
	.accept_new_address = (void *)userspace_accept_new_address,
	.established = (void *)userspace_established,
	.subflow_established = (void *)userspace_subflow_established,
	.name = "bpf_userspace",
};
