/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Kernel symbols that no kernel has, and that are not weak. Expected: not loaded, the first one is named. */
#include "core.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern const void rawbpf_no_such_symbol __ksym;

u64 address;

SEC("syscall")
int take_address(void *ctx)
{
	address = (u64)&rawbpf_no_such_symbol;
	return 0;
}
