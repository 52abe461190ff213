/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Subprograms: static and global, nested, called from several programs in several sections. Expected: each program
 * gets its own copy of what it calls, directly or not, in the order of first calls, depth first; every program
 * returns 0.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u64 calls;
const volatile u32 step = 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} totals SEC(".maps");

/* Touches a variable and a map, so that its copies carry relocations. */
static __noinline int leaf(int number)
{
	u32 key = 0;
	u64 *total = bpf_map_lookup_elem(&totals, &key);

	calls++;
	if (total)
		*total += number;
	return number + step;
}

static __noinline int middle(int number)
{
	return leaf(number) + leaf(number + 1);
}

/* The verifier checks a global function by itself, for any argument. */
__noinline int global_function(int number)
{
	return middle(number) + 1;
}

/* May be overridden when objects are linked; alone it is what runs. */
__weak __noinline int weak_function(int number)
{
	return number * 2 + (int)calls * 0;
}

/* A global function that the user cannot replace: for the verifier it is static. */
__hidden __noinline int hidden_function(int number)
{
	return leaf(number) * 2;
}

static __noinline int uncalled_by_first(int number)
{
	return weak_function(number) - 1;
}

/* No calls at all. */
SEC("syscall")
int alone(void *ctx)
{
	return 0;
}

/* leaf, then middle: the copy of leaf is shared. */
SEC("syscall")
int first(void *ctx)
{
	expect(leaf(1) == 2);
	expect(middle(1) == 5);
	return 0;
}

/* Deepest first: global_function brings middle, which brings leaf. */
SEC("syscall")
int second(void *ctx)
{
	expect(global_function(1) == 6);
	expect(uncalled_by_first(3) == 5);
	expect(hidden_function(4) == 10);
	return 0;
}

/* Of another type, in another section. */
SEC("socket")
int third(void *ctx)
{
	expect(middle(10) == 23);
	expect(weak_function(4) == 8);
	return 0;
}
