/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy of the kernel's own MPTCP path manager, in BPF: the endpoints and limits of the namespace, which the
 * administrator sets over netlink, say what subflows a connection has and what addresses are announced.
 *
 * Kernel: Linux 7.3 with the patches that let BPF implement struct mptcp_pm_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_netlink_pm.o && sysctl net.mptcp.path_manager=bpf_netlink
 */
#include "mptcp_pm.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MAX_ENDPOINTS 16 /* looked at in one go */

/* What a connection has made of the endpoints so far. */
struct progress {
	u64 used[4];        /* endpoints by id: connected from, or announced */
	u32 addresses_accepted; /* of the peer */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct progress);
} progress SEC(".maps");

struct endpoint {
	struct mptcp_addr_info addr;
	u32 flags;
	int ifindex;
};

static struct progress *progress_of(struct mptcp_sock *msk)
{
	return bpf_sk_storage_get(&progress, msk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static bool is_used(const struct progress *state, u8 id)
{
	return state->used[(id >> 6) & 3] >> (id & 63) & 1;
}

static void set_used(struct progress *state, u8 id)
{
	state->used[(id >> 6) & 3] |= 1ULL << (id & 63);
}

static void set_unused(struct progress *state, u8 id)
{
	state->used[(id >> 6) & 3] &= ~(1ULL << (id & 63));
}

/* The endpoint with that address, and its id: 0 if there is none. */
static u8 find_endpoint(struct mptcp_sock *msk, const struct mptcp_addr_info *address, u32 *flags)
{
	for_each_address(entry, msk, MPTCP_PM_TYPE_KERNEL) {
		if (same_address(&entry->addr, address)) {
			*flags = entry->flags;
			return entry->addr.id;
		}
	}
	return 0;
}

SEC("struct_ops")
int BPF_PROG(netlink_get_local_id, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	u32 flags;

	return find_endpoint(msk, local, &flags);
}

SEC("struct_ops")
bool BPF_PROG(netlink_get_priority, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	u32 flags = 0;

	return find_endpoint(msk, local, &flags) && flags & MPTCP_PM_ADDR_FLAG_BACKUP;
}

static bool is_full(struct mptcp_sock *msk)
{
	return msk->pm.extra_subflows >= mptcp_pm_get_limit_extra_subflows(msk);
}

SEC("struct_ops")
bool BPF_PROG(netlink_accept_new_subflow, struct mptcp_sock *msk)
{
	return !is_full(msk);
}

SEC("struct_ops")
bool BPF_PROG(netlink_accept_new_address, struct mptcp_sock *msk, const struct mptcp_addr_info *remote)
{
	struct progress *state = progress_of(msk);

	return state && state->addresses_accepted < mptcp_pm_get_limit_add_addr_accepted(msk) && !is_full(msk);
}

/* An endpoint that was removed may come back. */
static void forget_removed(struct mptcp_sock *msk, struct progress *state)
{
	struct progress present = {};
	int i;

	bpf_rcu_read_lock();
	for_each_address(entry, msk, MPTCP_PM_TYPE_KERNEL)
		set_used(&present, entry->addr.id);
	bpf_rcu_read_unlock();
	for (i = 0; i < 4; i++)
		state->used[i] &= present.used[i];
}

/* Copies the next endpoint that can be of use, and takes it as used. */
static bool next_endpoint(struct mptcp_sock *msk, struct progress *state, struct endpoint *endpoint)
{
	struct mptcp_addr_info first = first_address(msk);
	bool found = false;

	bpf_rcu_read_lock();
	for_each_address(entry, msk, MPTCP_PM_TYPE_KERNEL) {
		if (is_used(state, entry->addr.id) || same_address(&entry->addr, &first) ||
		    !(entry->flags & (MPTCP_PM_ADDR_FLAG_SUBFLOW | MPTCP_PM_ADDR_FLAG_SIGNAL)))
			continue;
		copy_address(&endpoint->addr, &entry->addr);
		endpoint->flags = entry->flags;
		endpoint->ifindex = entry->ifindex;
		found = true;
		break;
	}
	bpf_rcu_read_unlock();
	if (found)
		set_used(state, endpoint->addr.id);
	return found;
}

/* False if it has to wait for its turn. */
static bool use(struct mptcp_sock *msk, struct endpoint *endpoint)
{
	if (endpoint->flags & MPTCP_PM_ADDR_FLAG_SIGNAL)
		return !bpf_mptcp_pm_announce(msk, &endpoint->addr);
	if (is_full(msk))
		return false;
	bpf_mptcp_pm_connect(msk, &endpoint->addr, NULL, endpoint->flags & MPTCP_PM_ADDR_FLAG_BACKUP,
			     endpoint->ifindex);
	return true;
}

static void use_endpoints(struct mptcp_sock *msk)
{
	struct progress *state = progress_of(msk);
	struct endpoint endpoint = {};

	if (!state)
		return;
	forget_removed(msk, state);
	for_each(num, round, 0, MAX_ENDPOINTS) {
		if (!next_endpoint(msk, state, &endpoint))
			break;
		if (!use(msk, &endpoint)) {
			set_unused(state, endpoint.addr.id);
			break;
		}
	}
}

SEC("struct_ops.s")
void BPF_PROG(netlink_established, struct mptcp_sock *msk)
{
	use_endpoints(msk);
}

SEC("struct_ops.s")
void BPF_PROG(netlink_subflow_established, struct mptcp_sock *msk)
{
	use_endpoints(msk);
}

static bool is_connected_to(struct mptcp_sock *msk, const struct mptcp_addr_info *remote)
{
	struct mptcp_addr_info peer = {};
	bool found = false;

	bpf_rcu_read_lock();
	for_each_subflow(subflow, msk) {
		const struct sock_common *common = &subflow->tcp_sock->__sk_common;
		int i;

		peer.family = common->skc_family;
		if (peer.family == AF_INET)
			peer.addr = common->skc_daddr;
		else
			for (i = 0; i < 4; i++)
				peer.addr6.in6_u.u6_addr32[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
		found = same_address(&peer, remote);
		if (found)
			break;
	}
	bpf_rcu_read_unlock();
	return found;
}

/* Connects to it, from where the routes say. */
SEC("struct_ops.s")
void BPF_PROG(netlink_add_addr_received, struct mptcp_sock *msk, const struct mptcp_addr_info *remote)
{
	struct mptcp_addr_info anywhere = { .family = remote->family };
	struct progress *state = progress_of(msk);

	if (!state || is_full(msk) || is_connected_to(msk, remote))
		return;
	if (bpf_mptcp_pm_connect(msk, &anywhere, remote, 0, 0) == 0 && remote->id)
		state->addresses_accepted++;
}

SEC("struct_ops.s")
void BPF_PROG(netlink_rm_addr_received, struct mptcp_sock *msk, u8 remote_id)
{
	struct progress *state = progress_of(msk);

	if (state && remote_id && state->addresses_accepted)
		state->addresses_accepted--;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops netlink_pm = {
	.get_local_id = (void *)netlink_get_local_id,
	.get_priority = (void *)netlink_get_priority,
	.accept_new_subflow = (void *)netlink_accept_new_subflow,
	.accept_new_address = (void *)netlink_accept_new_address,
	.established = (void *)netlink_established,
	.subflow_established = (void *)netlink_subflow_established,
	.add_addr_received = (void *)netlink_add_addr_received,
	.rm_addr_received = (void *)netlink_rm_addr_received,
	.name = "bpf_netlink",
};
