/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an MPTCP path manager in BPF is made of: which subflows a connection has, and which addresses the peer is told
 * of, is its decision. Mainline has no callbacks in struct mptcp_pm_ops, and none of the kfuncs: both are patches on
 * top of it.
 */
#pragma once

#include "loops.h"
#include "mptcp.h"

/* The layout is the kernel's: the kfuncs take such addresses from a program's stack. */
struct mptcp_addr_info {
	u8 id;
	u16 family;
	u16 port; /* big-endian */
	union {
		u32 addr; /* big-endian */
		struct in6_addr addr6;
	};
};

struct mptcp_pm_addr_entry {
	struct mptcp_addr_info addr;
	u32 flags;
	int ifindex;
} __core;

enum {
	MPTCP_PM_ADDR_FLAG_SIGNAL = 1 << 0,
	MPTCP_PM_ADDR_FLAG_SUBFLOW = 1 << 1,
	MPTCP_PM_ADDR_FLAG_BACKUP = 1 << 2,
};

/*
 * What it has no callback for happens as with the kernel's own path manager. The callbacks of the second group run
 * under the lock of the connection and may sleep (SEC("struct_ops.s")), the others run anywhere.
 */
struct mptcp_pm_ops {
	int (*get_local_id)(struct mptcp_sock *msk, const struct mptcp_addr_info *local);
	bool (*get_priority)(struct mptcp_sock *msk, const struct mptcp_addr_info *local);
	bool (*accept_new_subflow)(struct mptcp_sock *msk);
	bool (*accept_new_address)(struct mptcp_sock *msk, const struct mptcp_addr_info *remote);

	void (*established)(struct mptcp_sock *msk);
	void (*subflow_established)(struct mptcp_sock *msk);
	void (*add_addr_received)(struct mptcp_sock *msk, const struct mptcp_addr_info *remote);
	void (*rm_addr_received)(struct mptcp_sock *msk, u8 remote_id);

	char name[16];
	void (*init)(struct mptcp_sock *msk);
	void (*release)(struct mptcp_sock *msk);
} __core;

extern u8 mptcp_pm_get_limit_extra_subflows(const struct mptcp_sock *msk) __ksym;
extern u8 mptcp_pm_get_limit_add_addr_accepted(const struct mptcp_sock *msk) __ksym;
extern int bpf_mptcp_pm_add_local(struct mptcp_sock *msk, const struct mptcp_addr_info *addr) __ksym;
extern int bpf_mptcp_pm_connect(struct mptcp_sock *msk, const struct mptcp_addr_info *local,
				const struct mptcp_addr_info *remote__nullable, u32 flags, int ifindex) __ksym;
extern void bpf_mptcp_pm_close(struct mptcp_sock *msk, u8 local_id) __ksym;
extern int bpf_mptcp_pm_set_backup(struct mptcp_sock *msk, const struct mptcp_addr_info *local,
				   const struct mptcp_addr_info *remote__nullable, bool backup) __ksym;
extern int bpf_mptcp_pm_announce(struct mptcp_sock *msk, const struct mptcp_addr_info *addr) __ksym;
extern int bpf_mptcp_pm_remove(struct mptcp_sock *msk, const struct mptcp_addr_info *addr) __ksym;
extern void bpf_mptcp_pm_wake(struct sock *sk) __ksym;

/* Whose addresses for_each_address walks. */
enum mptcp_pm_type {
	MPTCP_PM_TYPE_KERNEL,    /* the endpoints of the namespace */
	MPTCP_PM_TYPE_USERSPACE, /* what user space gave to the connection */
};

struct bpf_iter_mptcp_pm_addr {
	u64 state[2];
};
extern int bpf_iter_mptcp_pm_addr_new(struct bpf_iter_mptcp_pm_addr *it, struct sock *sk,
				      enum mptcp_pm_type type) __ksym;
extern struct mptcp_pm_addr_entry *bpf_iter_mptcp_pm_addr_next(struct bpf_iter_mptcp_pm_addr *it) __ksym;
extern void bpf_iter_mptcp_pm_addr_destroy(struct bpf_iter_mptcp_pm_addr *it) __ksym;

/* In a program that may sleep: between bpf_rcu_read_lock() and bpf_rcu_read_unlock(). */
#define for_each_address(entry, sk, type) for_each(mptcp_pm_addr, entry, (struct sock *)(sk), type)

/* Whether two addresses are the same, whatever their ports. */
static __always_inline bool same_address(const struct mptcp_addr_info *a, const struct mptcp_addr_info *b)
{
	int i;

	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->addr == b->addr;
	for (i = 0; i < 4; i++)
		if (a->addr6.in6_u.u6_addr32[i] != b->addr6.in6_u.u6_addr32[i])
			return false;
	return true;
}

static __always_inline void copy_address(struct mptcp_addr_info *to, const struct mptcp_addr_info *from)
{
	int i;

	to->id = from->id;
	to->family = from->family;
	to->port = from->port;
	for (i = 0; i < 4; i++)
		to->addr6.in6_u.u6_addr32[i] = from->addr6.in6_u.u6_addr32[i];
}

/* The local address of the connection's first subflow. */
static __always_inline struct mptcp_addr_info first_address(const struct mptcp_sock *msk)
{
	const struct sock_common *common = &((const struct sock *)msk)->__sk_common;
	struct mptcp_addr_info address = { .family = common->skc_family };

	if (address.family == AF_INET)
		address.addr = common->skc_rcv_saddr;
	else
		address.addr6 = common->skc_v6_rcv_saddr;
	return address;
}
