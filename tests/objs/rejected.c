/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that the verifier refuses, between others that it takes. Expected: "good_first" and "good_last" return 0
 * when they are loaded alone; the whole object is refused because of "out_of_bounds", whose log names the line that
 * is marked below, and nothing is left behind. The ones with a "?" are refused when asked for.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u32 numbers[4] = {1, 2, 3, 4};
u32 chosen = 2;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

static __noinline u64 *counter(u32 key)
{
	return bpf_map_lookup_elem(&counters, &key);
}

SEC("syscall")
int good_first(void *ctx)
{
	expect(chosen < ARRAY_SIZE(numbers));
	expect(numbers[chosen] == 3);
	return 0;
}

SEC("syscall")
int out_of_bounds(void *ctx)
{
	return numbers[chosen]; /* refused: any u32 may be in the variable */
}

SEC("syscall")
int good_last(void *ctx)
{
	expect(!counter(7));
	return 0;
}

SEC("?syscall")
int null_pointer(void *ctx)
{
	u64 *value = counter(1);

	return *value; /* refused: the key may be missing */
}

SEC("?syscall")
int endless(void *ctx)
{
	while (chosen == 2)
		*(volatile u32 *)&numbers[0] += 1; /* refused: no end in sight */
	return 0;
}

SEC("?socket")
int forbidden_helper(void *ctx)
{
	return bpf_sk_storage_get(&counters, ctx, NULL, 0) != NULL; /* refused: not for this type of program */
}
