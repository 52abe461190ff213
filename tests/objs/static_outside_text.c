/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A static function in a section of programs. Expected: refused before loading; the function is named. */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u32 calls;

__attribute__((section("syscall"))) static __noinline int misplaced(int number)
{
	calls++;
	return number + 1;
}

SEC("syscall")
int call_it(void *ctx)
{
	return misplaced(1);
}
