/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MPTCP path managers that behave badly, which the kernel must bear, and with -DREFUSED=N those that it must not load.
 * Built by the test that uses them.
 */
#include "mptcp_pm.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifndef REFUSED

/* Refuses everything. */
SEC("struct_ops")
int BPF_PROG(no_get_local_id, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	return -1;
}

SEC("struct_ops")
bool BPF_PROG(no_accept_new_subflow, struct mptcp_sock *msk)
{
	return false;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops no = {
	.get_local_id = (void *)no_get_local_id,
	.accept_new_subflow = (void *)no_accept_new_subflow,
	.name = "bad_no",
};

/* Answers what is no answer. */
SEC("struct_ops")
int BPF_PROG(wild_get_local_id, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	return 4711;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops wild = { .get_local_id = (void *)wild_get_local_id, .name = "bad_wild" };

#define GREEDY_ROUNDS 100

u32 connects; /* that went well */
u32 announcements;

/* Wants more than there is, and each time again; announces what it does not have, and removes what it never said. */
static void grab(struct mptcp_sock *msk)
{
	struct mptcp_addr_info local = { .family = AF_INET, .addr = 0x0100000a };

	for_each(num, i, 0, GREEDY_ROUNDS) {
		struct mptcp_addr_info anywhere = { .family = AF_INET };

		local.id = (u32)*i % 255 + 1;
		local.addr += 1 << 24;
		if (!bpf_mptcp_pm_connect(msk, &anywhere, NULL, 0, 0))
			connects++;
		bpf_mptcp_pm_connect(msk, &local, &local, MPTCP_PM_ADDR_FLAG_BACKUP, *i);
		if (!bpf_mptcp_pm_announce(msk, &local))
			announcements++;
		bpf_mptcp_pm_remove(msk, &local);
		bpf_mptcp_pm_set_backup(msk, &local, &local, true);
	}
}

SEC("struct_ops.s")
void BPF_PROG(greedy_established, struct mptcp_sock *msk)
{
	grab(msk);
}

SEC("struct_ops.s")
void BPF_PROG(greedy_subflow_established, struct mptcp_sock *msk)
{
	grab(msk);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops greedy = {
	.established = (void *)greedy_established,
	.subflow_established = (void *)greedy_subflow_established,
	.name = "bad_greedy",
};

/* Closes every subflow, the first as well, whenever there is one. */
SEC("struct_ops.s")
void BPF_PROG(cutting_established, struct mptcp_sock *msk)
{
	for_each(num, id, 0, 256)
		bpf_mptcp_pm_close(msk, *id);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops cutting = { .established = (void *)cutting_established, .name = "bad_cutting" };

/* Takes as long as the verifier lets it. */
#define MOST_ROUNDS (8 << 20)

u64 rounds;

SEC("struct_ops.s")
void BPF_PROG(slow_established, struct mptcp_sock *msk)
{
	for_each(num, i, 0, MOST_ROUNDS)
		rounds++;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops slow = { .established = (void *)slow_established, .name = "bad_slow" };

/* Wakes itself all the time. */
u64 wakes;

SEC("struct_ops.s")
void BPF_PROG(restless_subflow_established, struct mptcp_sock *msk)
{
	__sync_fetch_and_add(&wakes, 1);
	bpf_mptcp_pm_wake((struct sock *)msk);
}

SEC("struct_ops.s")
void BPF_PROG(restless_established, struct mptcp_sock *msk)
{
	bpf_mptcp_pm_wake((struct sock *)msk);
}

SEC("struct_ops")
void BPF_PROG(restless_init, struct mptcp_sock *msk)
{
	bpf_mptcp_pm_wake((struct sock *)msk);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops restless = {
	.established = (void *)restless_established,
	.subflow_established = (void *)restless_subflow_established,
	.init = (void *)restless_init,
	.name = "bad_restless",
};

#elif REFUSED == 1 /* may sleep where nobody may */

SEC("struct_ops.s")
int BPF_PROG(sleepy_get_local_id, struct mptcp_sock *msk, const struct mptcp_addr_info *local)
{
	return 1;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops sleepy = { .get_local_id = (void *)sleepy_get_local_id, .name = "bad_sleepy" };

#elif REFUSED == 2 /* walks the subflows without their lock */

SEC("struct_ops")
bool BPF_PROG(nosy_accept_new_subflow, struct mptcp_sock *msk)
{
	for_each_subflow(subflow, msk)
		return true;
	return false;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops nosy = { .accept_new_subflow = (void *)nosy_accept_new_subflow, .name = "bad_nosy" };

#elif REFUSED == 3 /* connects in a program that may not sleep */

SEC("struct_ops")
void BPF_PROG(hasty_established, struct mptcp_sock *msk)
{
	struct mptcp_addr_info anywhere = { .family = AF_INET };

	bpf_mptcp_pm_connect(msk, &anywhere, NULL, 0, 0);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops hasty = { .established = (void *)hasty_established, .name = "bad_hasty" };

#elif REFUSED == 4 /* keeps walking what RCU protects, while it sleeps */

SEC("struct_ops.s")
void BPF_PROG(late_established, struct mptcp_sock *msk)
{
	struct mptcp_addr_info anywhere = { .family = AF_INET };

	bpf_rcu_read_lock();
	for_each_address(entry, msk, MPTCP_PM_TYPE_KERNEL)
		bpf_mptcp_pm_connect(msk, &anywhere, NULL, 0, 0);
	bpf_rcu_read_unlock();
}

SEC(".struct_ops.link")
struct mptcp_pm_ops late = { .established = (void *)late_established, .name = "bad_late" };

#elif REFUSED == 5 /* takes the name of the kernel's own */

SEC("struct_ops")
bool BPF_PROG(usurping_accept_new_subflow, struct mptcp_sock *msk)
{
	return true;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops usurping = { .accept_new_subflow = (void *)usurping_accept_new_subflow, .name = "userspace" };

#elif REFUSED == 6 /* a path manager that schedules */

SEC("struct_ops.s")
void BPF_PROG(mixing_established, struct mptcp_sock *msk)
{
	bpf_rcu_read_lock();
	for_each_subflow(subflow, msk)
		mptcp_subflow_set_scheduled(subflow, true);
	bpf_rcu_read_unlock();
}

SEC(".struct_ops.link")
struct mptcp_pm_ops mixing = { .established = (void *)mixing_established, .name = "bad_mixing" };

#elif REFUSED == 7 /* closes the subflow that it is at */

SEC("struct_ops.s")
void BPF_PROG(sawing_established, struct mptcp_sock *msk)
{
	bpf_rcu_read_lock();
	for_each_subflow(subflow, msk)
		bpf_mptcp_pm_close(msk, subflow->subflow_id);
	bpf_rcu_read_unlock();
}

SEC(".struct_ops.link")
struct mptcp_pm_ops sawing = { .established = (void *)sawing_established, .name = "bad_sawing" };

#elif REFUSED == 8 /* the same, without RCU */

SEC("struct_ops.s")
void BPF_PROG(careless_established, struct mptcp_sock *msk)
{
	for_each_subflow(subflow, msk)
		bpf_mptcp_pm_close(msk, subflow->subflow_id);
}

SEC(".struct_ops.link")
struct mptcp_pm_ops careless = { .established = (void *)careless_established, .name = "bad_careless" };

#else /* writes what is none of its business */

SEC("struct_ops.s")
void BPF_PROG(scribbling_established, struct mptcp_sock *msk)
{
	msk->token = 0;
}

SEC(".struct_ops.link")
struct mptcp_pm_ops scribbling = { .established = (void *)scribbling_established, .name = "bad_scribbling" };

#endif
