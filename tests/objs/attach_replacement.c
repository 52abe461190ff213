/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Replacements of the function `replaced` of attach_kernel's program `calls`. Expected: `calls` returns 42, or 43. */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("?freplace/replaced")
int replacement(u64 number)
{
	return 42;
}

SEC("?freplace/replaced")
int another(u64 number)
{
	return 43;
}
