/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SEC() names that are none, one of them not optional. Expected: opened and inspected; refused when a program without
 * a type is to be loaded, naming the section and what it may have been meant for.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("socket")
int known(void *ctx)
{
	return 0;
}

SEC("xpd")
int misspelt(void *ctx)
{
	return 0;
}

/* These names take nothing after a slash, or not without one. */
SEC("?xdp/eth0")
int needless_target(void *ctx)
{
	return 0;
}

SEC("?kprobes")
int plural(void *ctx)
{
	return 0;
}

SEC("?cgroup/accept4")
int no_such_hook(void *ctx)
{
	return 0;
}
