/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MPTCP schedulers that behave badly, which the kernel must bear, and with -DREFUSED=N those that it must not load.
 * Built by the test that uses them.
 */
#include "loops.h"
#include "mptcp.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifndef REFUSED

/* Marks nothing, and says that all is well. */
SEC("struct_ops")
int BPF_PROG(idle_get_send, struct mptcp_sock *msk)
{
	return 0;
}

/* Those that are unable to send as well. */
static void mark_all(struct mptcp_sock *msk)
{
	for_each_subflow(subflow, msk)
		mptcp_subflow_set_scheduled(subflow, true);
}

/* Marks every subflow, and then fails. */
SEC("struct_ops")
int BPF_PROG(failing_get_send, struct mptcp_sock *msk)
{
	mark_all(msk);
	return -1;
}

SEC("struct_ops")
int BPF_PROG(wild_get_send, struct mptcp_sock *msk)
{
	mark_all(msk);
	return 0;
}

/* Takes as long as the verifier lets it, each time. */
#define MOST_ROUNDS (8 << 20)

u64 rounds;

SEC("struct_ops")
int BPF_PROG(slow_get_send, struct mptcp_sock *msk)
{
	for_each(num, i, 0, MOST_ROUNDS)
		rounds++;
	mark_all(msk);
	return 0;
}

/* Writes what it may, and never what makes sense. */
u64 inits, releases;

SEC("struct_ops")
void BPF_PROG(odd_init, struct mptcp_sock *msk)
{
	__sync_fetch_and_add(&inits, 1);
	msk->snd_burst = -1;
}

SEC("struct_ops")
int BPF_PROG(odd_get_send, struct mptcp_sock *msk)
{
	msk->snd_burst = msk->snd_burst < 0 ? 0x7fffffff : -0x7fffffff;
	for_each_subflow(subflow, msk) {
		subflow->avg_pacing_rate = ~subflow->avg_pacing_rate;
		mptcp_subflow_set_scheduled(subflow, true);
	}
	return 0;
}

SEC("struct_ops")
void BPF_PROG(odd_release, struct mptcp_sock *msk)
{
	__sync_fetch_and_add(&releases, 1);
	msk->snd_burst = 0x7fffffff;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops idle = { .get_send = (void *)idle_get_send, .name = "bad_idle" };

SEC(".struct_ops.link")
struct mptcp_sched_ops failing = { .get_send = (void *)failing_get_send, .name = "bad_failing" };

SEC(".struct_ops.link")
struct mptcp_sched_ops wild = { .get_send = (void *)wild_get_send, .name = "bad_wild" };

SEC(".struct_ops.link")
struct mptcp_sched_ops slow = { .get_send = (void *)slow_get_send, .name = "bad_slow" };

SEC(".struct_ops.link")
struct mptcp_sched_ops odd = {
	.get_send = (void *)odd_get_send,
	.name = "bad_odd",
	.init = (void *)odd_init,
	.release = (void *)odd_release,
};

#elif REFUSED == 1 /* may sleep, but schedulers run in softirq */

SEC("struct_ops.s")
int BPF_PROG(sleepy_get_send, struct mptcp_sock *msk)
{
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops sleepy = { .get_send = (void *)sleepy_get_send, .name = "bad_sleepy" };

#elif REFUSED == 2 /* writes what is none of its business */

SEC("struct_ops")
int BPF_PROG(scribbling_get_send, struct mptcp_sock *msk)
{
	msk->token = 0;
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops scribbling = { .get_send = (void *)scribbling_get_send, .name = "bad_scribbling" };

#elif REFUSED == 3 /* a congestion control walks the subflows, without their lock */

SEC("struct_ops")
u32 BPF_PROG(nosy_ssthresh, struct sock *sk)
{
	for_each(mptcp_subflow, subflow, sk)
		return 1;
	return 2;
}

SEC("struct_ops")
void BPF_PROG(nosy_cong_avoid, struct sock *sk, u32 ack, u32 acked)
{
}

SEC("struct_ops")
u32 BPF_PROG(nosy_undo_cwnd, struct sock *sk)
{
	return 2;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops nosy = {
	.ssthresh = (void *)nosy_ssthresh,
	.cong_avoid = (void *)nosy_cong_avoid,
	.undo_cwnd = (void *)nosy_undo_cwnd,
	.name = "bad_nosy",
};

#elif REFUSED == 4 /* takes the name of the kernel's own */

SEC("struct_ops")
int BPF_PROG(usurping_get_send, struct mptcp_sock *msk)
{
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops usurping = { .get_send = (void *)usurping_get_send, .name = "default" };

#elif REFUSED == 5 /* walks the subflows without their lock, when a connection begins */

SEC("struct_ops")
int BPF_PROG(early_get_send, struct mptcp_sock *msk)
{
	return 0;
}

SEC("struct_ops")
void BPF_PROG(early_init, struct mptcp_sock *msk)
{
	for_each_subflow(subflow, msk)
		mptcp_subflow_active(subflow);
}

SEC(".struct_ops.link")
struct mptcp_sched_ops early = {
	.get_send = (void *)early_get_send,
	.name = "bad_early",
	.init = (void *)early_init,
};

#else /* decides nothing */

SEC("struct_ops")
int BPF_PROG(void_get_retrans, struct mptcp_sock *msk)
{
	return 0;
}

SEC(".struct_ops.link")
struct mptcp_sched_ops without = { .get_retrans = (void *)void_get_retrans, .name = "bad_without" };

#endif
