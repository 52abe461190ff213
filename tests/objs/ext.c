/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that replace or trace functions of another BPF program: which program is said by whoever loads them, here
 * it is ext_target.c. Expected: as they are, refused with EINVAL; with a target: `other_verdict` loaded by Linux 5.6
 * and newer, the tracing programs where the kernel traces BPF programs.
 */
#include "program.h"

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

struct xdp_buff;

char LICENSE[] SEC("license") = "GPL";

u64 seen, returned;

SEC("freplace/verdict")
int other_verdict(struct xdp_md *ctx)
{
	return 1; /* XDP_DROP */
}

SEC("?freplace")
int unnamed(struct xdp_md *ctx)
{
	return 3; /* XDP_TX */
}

SEC("?fentry/ext_target")
int BPF_PROG(on_entry, struct xdp_buff *xdp)
{
	seen++;
	return 0;
}

SEC("?fexit/doubled")
int BPF_PROG(on_exit, int number, int result)
{
	returned = result;
	return 0;
}
