/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Watches MPTCP connections begin: the token and the congestion control of each, by the address of its socket.
 *
 * Kernel: Linux 5.19 or newer with CONFIG_MPTCP.
 * Load:   rawbpf load objs/mptcp_created.o
 */
#include "mptcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct created {
	u32 token;
	u32 server_side;
	char ca_name[TCP_CA_NAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64); /* kernel address of the first subflow's TCP socket */
	__type(value, struct created);
} created SEC(".maps");

SEC("fentry/mptcp_pm_new_connection")
int BPF_PROG(on_new_connection, struct mptcp_sock *msk, const struct sock *ssk, int server_side)
{
	struct created entry = { .token = msk->token, .server_side = server_side };
	u64 key = (u64)ssk;

	__builtin_memcpy(entry.ca_name, msk->ca_name, sizeof(entry.ca_name));
	bpf_map_update_elem(&created, &key, &entry, BPF_ANY);
	return 0;
}
