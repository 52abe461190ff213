/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy of the kernel's own MPTCP packet scheduler, in BPF: send on the subflow whose queue will be empty first,
 * and stay with it for a burst. Backups serve only while nothing else is usable.
 *
 * Kernel: Linux 7.3 with the patch that lets BPF implement struct mptcp_sched_ops (tools/vm boots one).
 * Load:   rawbpf load objs/mptcp_bpf_burst.o && sysctl net.mptcp.scheduler=bpf_burst
 */
#include "mptcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile u32 burst_size = 65384; /* bytes: what a GSO packet of TCP has room for */

/* The best subflow so far, among those that are no backup, or among the backups. */
struct choice {
	u32 id;     /* 0: none */
	u64 linger; /* time to send what is queued, in units of 2^-32 s */
};

static struct tcp_sock *tcp_sk(struct mptcp_subflow_context *subflow)
{
	return core_cast(subflow->tcp_sock, struct tcp_sock);
}

static bool has_queue_space(const struct sock *sk)
{
	return sk->sk_wmem_queued < sk->sk_sndbuf;
}

static bool is_idle(struct mptcp_subflow_context *subflow)
{
	struct tcp_sock *tp = tcp_sk(subflow);

	return !subflow->tcp_sock->tcp_rtx_queue.rb_node && tp->write_seq == tp->snd_nxt;
}

/* Its average, which starts at what TCP allows itself now. */
static u64 pacing_rate(struct mptcp_subflow_context *subflow)
{
	if (!subflow->avg_pacing_rate)
		subflow->avg_pacing_rate = subflow->tcp_sock->sk_pacing_rate;
	return subflow->avg_pacing_rate;
}

static void weigh(struct choice *best, struct mptcp_subflow_context *subflow)
{
	u64 linger, rate = pacing_rate(subflow);

	if (!rate)
		return;
	linger = ((u64)(u32)subflow->tcp_sock->sk_wmem_queued << 32) / rate;
	if (!best->id || linger < best->linger) {
		best->id = subflow->subflow_id;
		best->linger = linger;
	}
}

static u32 next_burst(const struct mptcp_sock *msk)
{
	u64 room = msk->wnd_end - msk->snd_nxt;

	return room < burst_size ? room : burst_size;
}

/* The rate of what is queued and of what comes, weighed by their sizes. */
static void update_rate(struct mptcp_subflow_context *subflow, u32 burst)
{
	u64 queued = (u32)subflow->tcp_sock->sk_wmem_queued;
	u64 rate = subflow->tcp_sock->sk_pacing_rate;

	subflow->avg_pacing_rate = (subflow->avg_pacing_rate * queued + rate * burst) / (queued + burst);
}

static int send_burst(struct mptcp_sock *msk, u32 id)
{
	u32 burst = next_burst(msk);

	for_each_subflow(subflow, msk) {
		if (subflow->subflow_id != id)
			continue;
		if (!has_queue_space(subflow->tcp_sock))
			return -EINVAL;
		if (burst) {
			update_rate(subflow, burst);
			msk->snd_burst = burst;
		}
		mptcp_subflow_set_scheduled(subflow, true);
		return 0;
	}
	return -EINVAL;
}

SEC("struct_ops")
int BPF_PROG(burst_get_send, struct mptcp_sock *msk)
{
	struct choice regular = {}, backup = {};
	bool has_regular = false;

	for_each_subflow(subflow, msk) {
		if (!mptcp_subflow_active(subflow))
			continue;
		if (is_backup(subflow)) {
			weigh(&backup, subflow);
		} else {
			weigh(&regular, subflow);
			has_regular = true;
		}
	}
	return send_burst(msk, has_regular ? regular.id : backup.id);
}

/* Lost data goes to an idle subflow; to an idle backup only if no other has got anything through for a while. */
SEC("struct_ops")
int BPF_PROG(burst_get_retrans, struct mptcp_sock *msk)
{
	u32 regular = 0, backup = 0, least_stale = ~0;

	for_each_subflow(subflow, msk) {
		if (!mptcp_subflow_active(subflow))
			continue;
		if (!is_idle(subflow)) {
			if (subflow->stale_count < least_stale)
				least_stale = subflow->stale_count;
		} else if (is_backup(subflow)) {
			if (!backup)
				backup = subflow->subflow_id;
		} else if (!regular) {
			regular = subflow->subflow_id;
		}
	}
	if (!regular && least_stale <= 1)
		return -EINVAL;
	return schedule_subflow(msk, regular ? regular : backup);
}

SEC(".struct_ops.link")
struct mptcp_sched_ops burst = {
	.get_send = (void *)burst_get_send,
	.get_retrans = (void *)burst_get_retrans,
	.name = "bpf_burst",
};
