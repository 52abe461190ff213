/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Global functions whose arguments carry tags for the verifier. Expected: loaded by Linux 6.8 and newer; the program
 * returns 0.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))

/* The context of whatever program calls it. */
__noinline int takes_context(void *ctx __arg_ctx, int number)
{
	asm volatile("" ::"r"(ctx));
	return number + 1;
}

__noinline int takes_pointer(const int *number __arg_nonnull)
{
	return *number + 1;
}

SEC("socket")
int from_socket(void *ctx)
{
	int number = 2;

	expect(takes_context(ctx, 1) == 2);
	expect(takes_pointer(&number) == 3);
	return 0;
}

SEC("syscall")
int from_syscall(void *ctx)
{
	expect(takes_context(ctx, 2) == 3);
	return 0;
}
