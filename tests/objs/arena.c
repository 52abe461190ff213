/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An arena with variables of its own (Linux 6.9, and clang 19 for address spaces): they are in the section .addr_space.1,
 * and lie at the end of the arena's memory. Runs by BPF_PROG_TEST_RUN.
 *
 * clang: -mcpu=v4
 */
#include "maps.h"
#include "program.h"

#include "expect.h"

#define __arena __attribute__((address_space(1)))
#define __arena_global __attribute__((address_space(1), section(".addr_space.1")))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4); /* pages */
} arena SEC(".maps");

int __arena_global first = 11;
u64 __arena_global second = 22;
u32 __arena_global table[4] = { 1, 2, 3, 4 };

SEC("syscall")
int sum(void *ctx)
{
	/* The verifier learns from this that the program uses the arena. */
	void *used = &arena;

	asm volatile("" :: "r"(used));
	return first + second + table[3];
}

SEC("syscall")
int change(void *ctx)
{
	void *used = &arena;

	asm volatile("" :: "r"(used));
	second = 44;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
