/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A kernel function that no kernel has, and that is not weak. Expected: nothing is loaded, not even "other"; the
 * function is named.
 */
#include "kfuncs.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern int rawbpf_no_such_kfunc(int number) __ksym;

SEC("syscall")
int call_it(void *ctx)
{
	return rawbpf_no_such_kfunc(1);
}

SEC("syscall")
int other(void *ctx)
{
	return 0;
}
