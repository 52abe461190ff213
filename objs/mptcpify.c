/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Turns the TCP sockets of one process, or of one cgroup and those below it, into MPTCP sockets, as they are made.
 * The program that makes them needs no change, and does not notice.
 *
 * Kernel: Linux 6.6 or newer with CONFIG_MPTCP.
 * Load:   rawbpf load objs/mptcpify.o --set pid=4242
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Whose sockets; one that is 0 is nobody. Fixed when the object is loaded. */
const volatile u32 pid;    /* of a process, in the first namespace */
const volatile u64 cgroup_id; /* id of a cgroup: the inode number of its directory */

u64 sockets; /* how many were turned */

#define MAX_CGROUP_DEPTH 32

enum {
	SOCK_TYPE_MASK = 0xf,
	SOCK_STREAM = 1,
};

static bool in_cgroup(void)
{
	int level;

	for (level = 1; level < MAX_CGROUP_DEPTH; level++) {
		u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			break;
		if (id == cgroup_id)
			return true;
	}
	return false;
}

static bool is_meant(void)
{
	return (pid && bpf_get_current_pid_tgid() >> 32 == pid) || (cgroup_id && in_cgroup());
}

static bool is_tcp(int family, int type, int protocol)
{
	return (family == AF_INET || family == AF_INET6) && (type & SOCK_TYPE_MASK) == SOCK_STREAM &&
	       (protocol == 0 || protocol == IPPROTO_TCP);
}

SEC("fmod_ret/update_socket_protocol")
int BPF_PROG(on_socket, int family, int type, int protocol)
{
	if (!is_tcp(family, type, protocol) || !is_meant())
		return protocol;
	__sync_fetch_and_add(&sockets, 1);
	return IPPROTO_MPTCP;
}
