/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps of maps, and the inner maps that the object puts into their slots.
 *
 * The template of an inner map is either described in place or a struct with a name; the slots are relocations of
 * the section .maps. Expected: 6 maps, slots {first: 1, 2, nothing, 1} and {by_hash: none}. An array of maps takes
 * inner maps of other sizes only when they carry BPF_F_INNER_MAP.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
};

struct inner inner_one SEC(".maps");
struct inner inner_two SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, u32);
	__array(values, struct inner);
} first SEC(".maps") = {
	.values = {&inner_one, &inner_two, NULL, &inner_one},
};

/* The template has no name of its own; nothing is in the slots. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, u64);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 16);
		__type(key, u32);
		__type(value, struct { u32 low; u32 high; });
	});
} by_hash SEC(".maps");

/* Inner maps of differing sizes. */
struct sized_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 9);
	__type(key, u32);
	__type(value, u32);
} large SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_INNER_MAP);
		__uint(max_entries, 1);
		__type(key, u32);
		__type(value, u32);
	});
} any_size SEC(".maps") = {
	.values = {[1] = (void *)&large},
};

static u64 *first_element(void *outer, u32 slot)
{
	void *inner = bpf_map_lookup_elem(outer, &slot);
	u32 zero = 0;

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

SEC("syscall")
int walk_slots(void *ctx)
{
	u64 *one = first_element(&first, 0);
	u64 *two = first_element(&first, 1);
	u64 *one_again = first_element(&first, 3);
	u32 slot = 1;

	expect(one && two && one_again);
	expect(!first_element(&first, 2));
	*one = 11;
	*two = 22;
	expect(*one_again == 11);
	expect(bpf_map_lookup_elem(&any_size, &slot));
	return 0;
}
