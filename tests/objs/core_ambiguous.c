/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The target, that of core_target.c, has two types of the name twin, and the field at different offsets in them.
 * Expected: not loaded; the error names the field and both candidates.
 */
#include "core.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct twin {
	int elsewhere;
} __core;

u64 memory[8];

SEC("syscall")
int read_twin(void *ctx)
{
	struct twin *twin = (void *)memory;

	return twin->elsewhere;
}
