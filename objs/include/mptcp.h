/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's MPTCP types, with the members that the objects here use, and the kfuncs that a packet scheduler
 * calls. One MPTCP connection (struct mptcp_sock, "msk") sends over several TCP connections, its subflows, each
 * with a struct mptcp_subflow_context. Mainline has the types; the kfuncs and the use of struct mptcp_sched_ops by
 * BPF are a patch on top of it.
 */
#pragma once

#include "kfuncs.h"
#include "tcp.h"

struct list_head {
	struct list_head *next;
} __core;

struct mptcp_pm_data {
	u8 extra_subflows; /* besides the first */
} __core;

struct mptcp_sock {
	struct sock *first;
	u32 token;
	char ca_name[TCP_CA_NAME_MAX];
	struct list_head conn_list;
	struct mptcp_pm_data pm;
	int snd_burst; /* bytes that may be sent before the scheduler is asked again; a scheduler may write it */
	u64 snd_nxt;
	u64 wnd_end; /* what the peer has room for ends there */
} __core;

struct mptcp_subflow_context {
	struct list_head node;
	u32 subflow_id; /* from 1, in the order in which they were made */
	struct sock *tcp_sock;
	u32 backup : 1;         /* the peer asked for it to be one */
	u32 request_bkup : 1;   /* this side did */
	u32 stale : 1;
	u8 stale_count;
	unsigned long avg_pacing_rate; /* a scheduler may write it */
} __core;

struct mptcp_sched_ops {
	/* Each marks the subflows to send on with mptcp_subflow_set_scheduled, and returns 0 or a negative errno. */
	int (*get_send)(struct mptcp_sock *msk);
	int (*get_retrans)(struct mptcp_sock *msk);
	char name[16];
	void (*init)(struct mptcp_sock *msk);
	void (*release)(struct mptcp_sock *msk);
} __core;

extern void mptcp_subflow_set_scheduled(struct mptcp_subflow_context *subflow, bool scheduled) __ksym;
extern bool mptcp_subflow_active(struct mptcp_subflow_context *subflow) __ksym;

/*
 * The subflows of a connection, in the order in which they joined. The caller holds the connection's lock, and where it
 * may sleep, bpf_rcu_read_lock().
 */
struct bpf_iter_mptcp_subflow {
	u64 state[2];
};
extern int bpf_iter_mptcp_subflow_new(struct bpf_iter_mptcp_subflow *it, struct sock *sk) __ksym;
extern struct mptcp_subflow_context *bpf_iter_mptcp_subflow_next(struct bpf_iter_mptcp_subflow *it) __ksym;
extern void bpf_iter_mptcp_subflow_destroy(struct bpf_iter_mptcp_subflow *it) __ksym;

#define for_each_subflow(subflow, msk) for_each(mptcp_subflow, subflow, (struct sock *)(msk))

static __always_inline bool is_backup(struct mptcp_subflow_context *subflow)
{
	return core_bitfield(subflow, backup) || core_bitfield(subflow, request_bkup);
}

/* Marks the subflow of that number to send on. */
static __always_inline int schedule_subflow(struct mptcp_sock *msk, u32 id)
{
	for_each_subflow(subflow, msk) {
		if (subflow->subflow_id == id) {
			mptcp_subflow_set_scheduled(subflow, true);
			return 0;
		}
	}
	return -EINVAL;
}
