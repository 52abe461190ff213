/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When the application sets SO_MARK or TCP_CONGESTION of an MPTCP socket, each subflow gets it from here, and the
 * kernel is left out. When the application asks for either, the other program looks what the subflows have.
 *
 * Kernel: Linux 7.3 with the patches that add kfuncs for subflows (tools/vm boots one), CONFIG_CGROUP_BPF.
 * Load:   rawbpf load objs/mptcp_bpf_sockopt.o --cgroup /sys/fs/cgroup/NAME
 */
#include "mptcp.h"
#include "sockopt.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern int bpf_mptcp_subflow_setsockopt(struct mptcp_subflow_context *subflow, int level, int name, void *value,
					int value__sz) __ksym;

#define MAX_VALUE TCP_CA_NAME_MAX

s32 last_error; /* of setting an option of a subflow */

/* As found last. */
u32 subflows;
u32 marks;       /* sum over the subflows */
u32 with_reno;   /* subflows */

static bool is_mptcp(struct bpf_sock *sk)
{
	return sk && core_cast(sk, struct sock)->sk_protocol == IPPROTO_MPTCP;
}

static bool is_handled(struct bpf_sockopt *ctx)
{
	return (ctx->level == SOL_SOCKET && ctx->optname == SO_MARK) ||
	       (ctx->level == SOL_TCP && ctx->optname == TCP_CONGESTION);
}

/* Copies the application's value; returns its size, 0 if it is too long. */
static int copy_value(struct bpf_sockopt *ctx, u8 *value)
{
	const u8 *from = ctx->optval, *end = ctx->optval_end;
	int i;

	for (i = 0; i < MAX_VALUE; i++) {
		if (from + i + 1 > end || i >= ctx->optlen)
			return i;
		value[i] = from[i];
	}
	return ctx->optlen > MAX_VALUE ? 0 : i;
}

SEC("cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt *ctx)
{
	u8 value[MAX_VALUE] = {};
	int size, error;

	if (!is_mptcp(ctx->sk) || !is_handled(ctx))
		return 1;
	size = copy_value(ctx, value);
	if (size <= 0 || size > MAX_VALUE)
		return 1;
	for_each_subflow(subflow, ctx->sk) {
		error = bpf_mptcp_subflow_setsockopt(subflow, ctx->level, ctx->optname, value, size);
		if (error)
			last_error = error;
	}
	ctx->optlen = BYPASS_KERNEL;
	return 1;
}

static bool is_reno(const char *name)
{
	return name[0] == 'r' && name[1] == 'e' && name[2] == 'n' && name[3] == 'o' && !name[4];
}

SEC("cgroup/getsockopt")
int on_getsockopt(struct bpf_sockopt *ctx)
{
	if (!is_mptcp(ctx->sk) || !is_handled(ctx))
		return 1;
	subflows = marks = with_reno = 0;
	for_each_subflow(subflow, ctx->sk) {
		subflows++;
		marks += subflow->tcp_sock->sk_mark;
		with_reno += is_reno(core_cast(subflow->tcp_sock, struct inet_connection_sock)->icsk_ca_ops->name);
	}
	return 1;
}
