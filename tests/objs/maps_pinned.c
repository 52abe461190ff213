/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps that are pinned by name: the loader puts them below its pin directory, and takes what is pinned there. */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} pinned_counter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
	__uint(pinning, LIBBPF_PIN_NONE);
} private_counter SEC(".maps");

static void count(void *map)
{
	u32 key = 0;
	u64 *value = bpf_map_lookup_elem(map, &key);

	if (value)
		*value += 1;
}

SEC("syscall")
int count_both(void *ctx)
{
	count(&pinned_counter);
	count(&private_counter);
	return 0;
}
