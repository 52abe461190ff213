/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program whose functions other programs replace and trace (ext.c). Expected: loaded; run on a packet of 64 bytes or
 * more it returns 2 (XDP_PASS) as long as nobody replaces `verdict`.
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__noinline int verdict(struct xdp_md *ctx)
{
	volatile int pass = 2;

	asm volatile("" ::"r"(ctx));
	return pass;
}

__noinline int doubled(int number)
{
	volatile int twice = number * 2;

	return twice;
}

SEC("xdp")
int ext_target(struct xdp_md *ctx)
{
	return doubled(verdict(ctx)) >> 1;
}
