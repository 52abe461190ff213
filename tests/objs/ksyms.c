/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel symbols without a type: the address that /proc/kallsyms gives, or null for a weak one that is not there; so
 * too for a weak variable that the kernel's BTF does not know. Expected: "addresses" returns 0, and leaves in the
 * variables what a test compares.
 */
#include "core.h"
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern const void __start_BTF __ksym;
extern const void __stop_BTF __ksym __weak;
extern const void rawbpf_no_such_symbol __ksym __weak;
extern const int rawbpf_no_such_variable __ksym __weak;

u64 start_address;
u64 stop_address;

SEC("syscall")
int addresses(void *ctx)
{
	start_address = (u64)&__start_BTF;
	stop_address = (u64)&__stop_BTF;
	expect(!&rawbpf_no_such_symbol);
	expect(!&rawbpf_no_such_variable);
	return 0;
}
