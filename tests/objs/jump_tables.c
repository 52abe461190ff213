/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Jump tables (Linux 6.19, x86): switches that clang 22 makes indirect jumps of, in programs of one section, and in
 * subprograms that several of them call. Expected: for each table that a program reaches a frozen map of its own, of
 * instruction offsets in that program; each program returns 0.
 *
 * compiler: clang-22
 * clang: -mcpu=v4 -mllvm -bpf-min-jump-table-entries=4
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

volatile u64 number;

/* Enough to do that no compiler makes a table of values of it. */
static __always_inline int chosen(u64 which)
{
	switch (which) {
	case 0:
		number += 2;
		return 30;
	case 1:
		return number & 1 ? 41 : 51;
	case 2:
		number -= 2;
		return 62;
	case 4:
		number ^= 4;
		return 94;
	default:
		return 19;
	}
}

static __noinline int in_subprogram(u64 which)
{
	return chosen(which);
}

__noinline int in_another(u64 which)
{
	switch (which) {
	case 1:
		return in_subprogram(number & 7);
	case 2:
		number += 2;
		return 7;
	case 3:
		return number & 1 ? 8 : 9;
	case 4:
		number -= 2;
		return 10;
	default:
		return 11;
	}
}

SEC("syscall")
int by_itself(void *ctx)
{
	number = 1;
	expect(chosen(number & 7) == 41);
	number = 4;
	expect(chosen(number & 7) == 94);
	expect(number == 0);
	return 0;
}

SEC("syscall")
int by_call(void *ctx)
{
	number = 0;
	expect(in_subprogram(number) == 30);
	expect(in_subprogram(number) == 62);
	expect(in_subprogram(3) == 19);
	return 0;
}

SEC("syscall")
int by_both(void *ctx)
{
	number = 4;
	expect(chosen(number & 7) == 94);
	number = 1;
	expect(in_another(number) == 41);
	number = 2;
	expect(in_another(number) == 7);
	expect(in_another(number) == 10);
	return 0;
}
