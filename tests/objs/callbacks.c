/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Static functions that the kernel calls back: their address is a ld_imm64 with a relocation, and they are appended
 * like subprograms. Expected: each program returns 0. Linux 5.17.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct sum {
	u64 keys;
	u64 values;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} squares SEC(".maps");

static __noinline u64 square(u32 number)
{
	return (u64)number * number;
}

/* Each returns 0 to go on, 1 to stop. */
static long fill(u32 index, void *context)
{
	u64 value = square(index);

	bpf_map_update_elem(&squares, &index, &value, BPF_ANY);
	return 0;
}

static long count_to_seven(u32 index, u32 *count)
{
	*count += 1;
	return index == 6;
}

static long add(void *map, u32 *key, u64 *value, struct sum *sum)
{
	sum->keys += *key;
	sum->values += *value;
	return 0;
}

SEC("syscall")
int loop(void *ctx)
{
	u32 count = 0;

	expect(bpf_loop(1000, count_to_seven, &count, 0) == 7);
	expect(count == 7);
	return 0;
}

SEC("syscall")
int each_element(void *ctx)
{
	struct sum sum = {};

	expect(bpf_loop(4, fill, NULL, 0) == 4);
	expect(bpf_for_each_map_elem(&squares, add, &sum, 0) == 4);
	expect(sum.keys == 0 + 1 + 2 + 3);
	expect(sum.values == 0 + 1 + 4 + 9);
	return 0;
}

/* The same callback in another program: another copy. */
SEC("syscall")
int loop_again(void *ctx)
{
	u32 count = 0;

	bpf_loop(3, count_to_seven, &count, 0);
	expect(count == 3);
	expect(square(count) == 9);
	return 0;
}
