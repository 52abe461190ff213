/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Notes what each new TCP or MPTCP client connection of a cgroup is: a sockops program that stores the facts with
 * the socket that the application holds, where a lookup by its file descriptor finds them.
 *
 * Kernel: Linux 5.19 or newer with CONFIG_MPTCP and CONFIG_CGROUP_BPF.
 * Load:   rawbpf load objs/mptcp_sock.o --cgroup /sys/fs/cgroup/NAME
 */
#include "mptcp.h"
#include "program.h"
#include "sockops.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct connection {
	u32 invoked;     /* how often the program saw the socket connect */
	u32 is_mptcp;    /* 1 for a subflow of an MPTCP connection */
	u64 sk;          /* kernel address of the TCP socket */
	u64 first;       /* MPTCP only: kernel address of the first subflow's TCP socket */
	u32 token;       /* MPTCP only: names the connection to the peer and to path managers */
	char ca_name[16]; /* MPTCP only: congestion control of new subflows */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connection);
} connections SEC(".maps");

u64 connects; /* of both protocols */

static struct connection *connection_of(void *sk)
{
	return bpf_sk_storage_get(&connections, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static void note_mptcp(struct connection *connection, const struct mptcp_sock *msk)
{
	connection->first = (u64)msk->first;
	connection->token = msk->token;
	__builtin_memcpy(connection->ca_name, msk->ca_name, sizeof(connection->ca_name));
}

static bool is_subflow(struct bpf_sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && core_field_exists(tp->is_mptcp) && tp->is_mptcp;
}

SEC("sockops")
int on_sock_op(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct connection *connection;
	struct mptcp_sock *msk;

	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB || !sk)
		return 1;

	/* The application holds the MPTCP socket; what connects here is its first subflow. */
	msk = bpf_skc_to_mptcp_sock(sk);
	connection = msk ? connection_of(msk) : connection_of(sk);
	if (!connection)
		return 1;
	if (msk)
		note_mptcp(connection, msk);
	connection->is_mptcp = is_subflow(sk);
	connection->sk = (u64)sk;
	connection->invoked++;
	__sync_fetch_and_add(&connects, 1);
	return 1;
}
