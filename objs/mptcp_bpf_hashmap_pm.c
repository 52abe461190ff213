/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An MPTCP path manager that is told by a hash map what each connection shall have: user space writes there which
 * local addresses subflows are to come from, and which the peer is to hear of. Whatever differs from that is changed,
 * when the connection or a subflow is established, and when the application sets the option WAKE of its socket.
 *
 * Kernel: Linux 7.3 with the patches that let BPF implement struct mptcp_pm_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_hashmap_pm.o --cgroup /sys/fs/cgroup/NAME
 *         sysctl net.mptcp.path_manager=bpf_hashmap
 */
#include "mptcp_pm.h"
#include "sockopt.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MAX_ID 255

enum {
	SOL_MPTCP = 284,
};
enum {
	WAKE = 0x7061, /* of no meaning to the kernel */
};

struct place {
	u32 token; /* of the connection */
	u32 id;    /* of the address, 0 to MAX_ID; 0 is that of the first subflow */
};

/* The flags are MPTCP_PM_ADDR_FLAG_*: SUBFLOW, SIGNAL, BACKUP. */
struct address {
	u32 family;
	u32 address[4]; /* big-endian; IPv4 has the first */
	u32 wanted;
	u32 present; /* written here */
	s32 error;   /* of the last change, negated; written here */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct place);
	__type(value, struct address);
} addresses SEC(".maps");

static struct address *lookup(struct mptcp_sock *msk, u32 id)
{
	struct place place = { .token = msk->token, .id = id };

	return bpf_map_lookup_elem(&addresses, &place);
}

static void fill_info(struct mptcp_addr_info *info, const struct address *address, u32 id)
{
	int i;

	info->id = id;
	info->family = address->family;
	for (i = 0; i < 4; i++)
		info->addr6.in6_u.u6_addr32[i] = address->address[i];
}

/* The entry of a local address, and its id; NULL if the map does not have it. */
static struct address *find(struct mptcp_sock *msk, const struct mptcp_addr_info *local, int *id)
{
	struct mptcp_addr_info info = {};

	for_each(num, i, 0, MAX_ID + 1) {
		struct address *address = lookup(msk, *i);

		if (!address)
			continue;
		fill_info(&info, address, *i);
		if (same_address(&info, local)) {
			*id = *i;
			return address;
		}
	}
	return NULL;
}

/* Subflows come only from the addresses of the map. */
SEC("struct_ops")
int BPF_PROG(hashmap_get_local_id, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	int id = 0;

	return find(msk, local, &id) && id ? id : -EINVAL;
}

SEC("struct_ops")
bool BPF_PROG(hashmap_get_priority, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	struct address *address;
	int id;

	address = find(msk, local, &id);
	return address && address->wanted & MPTCP_PM_ADDR_FLAG_BACKUP;
}

SEC("struct_ops")
bool BPF_PROG(hashmap_accept_new_subflow, struct mptcp_sock *msk)
{
	return true;
}

SEC("struct_ops")
bool BPF_PROG(hashmap_accept_new_address, struct mptcp_sock *msk, const struct mptcp_addr_info *remote)
{
	return false;
}

static int change_subflow(struct mptcp_sock *msk, struct mptcp_addr_info *info, u32 wanted)
{
	if (wanted & MPTCP_PM_ADDR_FLAG_SUBFLOW)
		return bpf_mptcp_pm_connect(msk, info, NULL, wanted & MPTCP_PM_ADDR_FLAG_BACKUP, 0);
	bpf_mptcp_pm_close(msk, info->id);
	return 0;
}

static int change_signal(struct mptcp_sock *msk, struct mptcp_addr_info *info, u32 wanted)
{
	if (wanted & MPTCP_PM_ADDR_FLAG_SIGNAL)
		return bpf_mptcp_pm_announce(msk, info);
	return bpf_mptcp_pm_remove(msk, info);
}

/* Makes one difference less between what is wanted and what is present. Returns 0 or a negative errno. */
static int change(struct mptcp_sock *msk, struct address *address, u32 id)
{
	u32 wanted = address->wanted, differs = wanted ^ address->present;
	struct mptcp_addr_info info = {};
	int error;

	fill_info(&info, address, id);
	if (differs & MPTCP_PM_ADDR_FLAG_SUBFLOW) {
		error = change_subflow(msk, &info, wanted);
		differs &= MPTCP_PM_ADDR_FLAG_SUBFLOW | MPTCP_PM_ADDR_FLAG_BACKUP;
	} else if (differs & MPTCP_PM_ADDR_FLAG_SIGNAL) {
		error = change_signal(msk, &info, wanted);
		differs &= MPTCP_PM_ADDR_FLAG_SIGNAL;
	} else {
		error = bpf_mptcp_pm_set_backup(msk, &info, NULL, wanted & MPTCP_PM_ADDR_FLAG_BACKUP);
	}
	if (!error)
		address->present ^= differs;
	return error;
}

static void make_as_wanted(struct mptcp_sock *msk)
{
	for_each(num, id, 0, MAX_ID + 1) {
		struct address *address = lookup(msk, *id);

		if (address && address->wanted != address->present)
			address->error = change(msk, address, *id);
	}
}

SEC("struct_ops.s")
void BPF_PROG(hashmap_established, struct mptcp_sock *msk)
{
	make_as_wanted(msk);
}

SEC("struct_ops.s")
void BPF_PROG(hashmap_subflow_established, struct mptcp_sock *msk)
{
	make_as_wanted(msk);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops hashmap_pm = {
	.get_local_id = (void *)hashmap_get_local_id,
	.get_priority = (void *)hashmap_get_priority,
	.accept_new_subflow = (void *)hashmap_accept_new_subflow,
	.accept_new_address = (void *)hashmap_accept_new_address,
	.established = (void *)hashmap_established,
	.subflow_established = (void *)hashmap_subflow_established,
	.name = "bpf_hashmap",
};

SEC("cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt *ctx)
{
	if (!ctx->sk || ctx->level != SOL_MPTCP || ctx->optname != WAKE)
		return 1;
	bpf_mptcp_pm_wake((struct sock *)ctx->sk);
	ctx->optlen = BYPASS_KERNEL;
	return 1;
}
