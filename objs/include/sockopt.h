/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The context of SEC("cgroup/getsockopt") and SEC("cgroup/setsockopt") programs, and the options used here. */
#pragma once

#include "core.h"
#include "types.h"

struct bpf_sock;

struct bpf_sockopt {
	struct bpf_sock *sk;
	void *optval;
	void *optval_end;
	s32 level;
	s32 optname;
	s32 optlen;
	s32 retval;
} __core;

enum {
	SOL_SOCKET = 1,
	SOL_TCP = 6,
};
enum {
	SO_MARK = 36,
};
enum {
	TCP_CONGESTION = 13,
	TCP_IS_MPTCP = 43,
};
/* What a setsockopt program returns in optlen when it has done all that there is to do. */
#define BYPASS_KERNEL (-1)
