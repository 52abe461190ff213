/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Gives each subflow socket options of its own: a mark, which is its place in the order of appearance, and to the
 * second one the congestion control "reno". When the application asks for TCP_IS_MPTCP, the other program looks
 * whether all is as it was set.
 *
 * Kernel: Linux 6.2 or newer with CONFIG_MPTCP and CONFIG_CGROUP_BPF.
 * Load:   rawbpf load objs/mptcp_subflow.o --cgroup /sys/fs/cgroup/NAME
 */
#include "mptcp.h"
#include "sockops.h"
#include "sockopt.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MAX_SUBFLOWS 8
#define SECOND 2

/* As the check found it. */
u32 checked;       /* subflows */
u32 wrong_marks;   /* of subflows */
u32 wrong_ca;      /* of subflows */
u32 msk_mark;      /* of the MPTCP socket */
char msk_ca[TCP_CA_NAME_MAX];

static const char reno[TCP_CA_NAME_MAX] = "reno";

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32);
} subflows SEC(".maps");

SEC("sockops")
int on_sock_op(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct mptcp_sock *msk;
	u32 *count, mark;

	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB || !sk)
		return 1;
	msk = bpf_skc_to_mptcp_sock(sk);
	if (!msk)
		return 1;
	count = bpf_sk_storage_get(&subflows, msk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!count)
		return 1;
	mark = ++*count;
	bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (mark == SECOND)
		bpf_setsockopt(ctx, SOL_TCP, TCP_CONGESTION, reno, sizeof(reno));
	return 1;
}

static bool is_name(const char *name, const char *expected)
{
	int i;

	for (i = 0; i < TCP_CA_NAME_MAX; i++) {
		if (name[i] != expected[i])
			return false;
		if (!name[i])
			break;
	}
	return true;
}

static void check_subflow(struct mptcp_sock *msk, struct mptcp_subflow_context *subflow, u32 place)
{
	struct inet_connection_sock *icsk = core_cast(subflow->tcp_sock, struct inet_connection_sock);
	struct sock *ssk = core_cast(subflow->tcp_sock, struct sock);
	char expected[TCP_CA_NAME_MAX];

	if (ssk->sk_mark != place)
		wrong_marks++;
	__builtin_memcpy(expected, msk->ca_name, sizeof(expected));
	if (place == SECOND)
		__builtin_memcpy(expected, reno, sizeof(expected));
	if (!is_name(icsk->icsk_ca_ops->name, expected))
		wrong_ca++;
}

/* Walks the list itself, as any kernel has it. */
static void check(struct mptcp_sock *msk)
{
	struct list_head *position = msk->conn_list.next;
	const void *end = (void *)msk + core_field_offset(msk->conn_list);
	struct mptcp_subflow_context *subflow;
	u32 place;

	wrong_marks = wrong_ca = checked = 0;
	for (place = 1; place <= MAX_SUBFLOWS && position != end; place++) {
		subflow = (void *)position - core_field_offset(((struct mptcp_subflow_context *)0)->node);
		subflow = core_cast(subflow, struct mptcp_subflow_context);
		check_subflow(msk, subflow, place);
		checked++;
		position = subflow->node.next;
	}
}

SEC("cgroup/getsockopt")
int on_getsockopt(struct bpf_sockopt *ctx)
{
	struct mptcp_sock *msk;
	struct sock *sk;

	if (!ctx->sk || ctx->level != SOL_TCP || ctx->optname != TCP_IS_MPTCP)
		return 1;
	sk = core_cast(ctx->sk, struct sock);
	if (sk->sk_protocol != IPPROTO_MPTCP)
		return 1;
	msk = core_cast(sk, struct mptcp_sock);
	msk_mark = sk->sk_mark;
	__builtin_memcpy(msk_ca, msk->ca_name, sizeof(msk_ca));
	check(msk);
	return 1;
}
