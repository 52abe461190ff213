/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps of the types that came after Linux 6.18. Expected: a kernel that has them creates both; "lookup" returns 0.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, 34);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 16);
} insn_array SEC(".maps");

struct {
	__uint(type, 35);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} rhash SEC(".maps");

SEC("syscall")
int lookup(void *ctx)
{
	u32 key = 5;

	return bpf_map_lookup_elem(&rhash, &key) != NULL;
}
