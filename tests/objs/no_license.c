/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* No license. Expected: loaded with an empty one; the helper that only GPL-compatible programs get is refused. */
#include "program.h"

SEC("syscall")
int plain(void *ctx)
{
	return 0;
}

SEC("?socket")
int needs_gpl(void *ctx)
{
	u64 copy = 0;

	return bpf_probe_read_kernel(&copy, sizeof(copy), ctx);
}
