/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The context of SEC("sockops") programs; the kernel's BTF has it at the offsets of the ABI. */
#pragma once

#include "core.h"
#include "types.h"

struct bpf_sock;

struct bpf_sock_ops {
	u32 op;
	struct bpf_sock *sk;
} __core;

/* The values of op that are used here. */
enum {
	BPF_SOCK_OPS_TCP_CONNECT_CB = 3,
};
