/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs for control groups, of each attach type, that count how often they run and let everything pass:
 * do_NAME in seen_NAME; "connect4" is there twice, and "lsm" has to be asked for. Expected: Linux 6.7 loads the others.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define COUNTING(name, section)                        \
	u64 seen_##name;                               \
	SEC(section) int do_##name(void *ctx)          \
	{                                              \
		__sync_fetch_and_add(&seen_##name, 1); \
		return 1;                              \
	}

COUNTING(ingress, "cgroup_skb/ingress")
COUNTING(egress, "cgroup_skb/egress")
COUNTING(skb, "cgroup/skb")
COUNTING(sock_create, "cgroup/sock_create")
COUNTING(sock_release, "cgroup/sock_release")
COUNTING(sock, "cgroup/sock")
COUNTING(bind4, "cgroup/bind4")
COUNTING(bind6, "cgroup/bind6")
COUNTING(post_bind4, "cgroup/post_bind4")
COUNTING(post_bind6, "cgroup/post_bind6")
COUNTING(connect4, "cgroup/connect4")
COUNTING(connect4_other, "cgroup/connect4")
COUNTING(connect6, "cgroup/connect6")
COUNTING(connect_unix, "cgroup/connect_unix")
COUNTING(sendmsg4, "cgroup/sendmsg4")
COUNTING(sendmsg6, "cgroup/sendmsg6")
COUNTING(sendmsg_unix, "cgroup/sendmsg_unix")
COUNTING(recvmsg4, "cgroup/recvmsg4")
COUNTING(recvmsg6, "cgroup/recvmsg6")
COUNTING(recvmsg_unix, "cgroup/recvmsg_unix")
COUNTING(getpeername4, "cgroup/getpeername4")
COUNTING(getpeername6, "cgroup/getpeername6")
COUNTING(getpeername_unix, "cgroup/getpeername_unix")
COUNTING(getsockname4, "cgroup/getsockname4")
COUNTING(getsockname6, "cgroup/getsockname6")
COUNTING(getsockname_unix, "cgroup/getsockname_unix")
COUNTING(sockops, "sockops")
COUNTING(device, "cgroup/dev")
COUNTING(sysctl, "cgroup/sysctl")
COUNTING(getsockopt, "cgroup/getsockopt")
COUNTING(setsockopt, "cgroup/setsockopt")
COUNTING(lsm, "?lsm_cgroup/socket_bind")
