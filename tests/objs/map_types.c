/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A map of each type that Linux 6.18 has, but for struct_ops and arenas, which have objects of their own. The numbers are
 * those of enum bpf_map_type. Expected: a kernel that has all types creates 31 maps; "lookup" returns 0.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct inner {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
};

struct prefix {
	u32 length;
	u8 address[4];
};

struct cgroup_key {
	u64 cgroup_inode_id;
	u32 attach_type;
};

struct {
	__uint(type, 1);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} hash SEC(".maps");

struct {
	__uint(type, 2);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} array SEC(".maps");

struct {
	__uint(type, 3);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} prog_array SEC(".maps");

struct {
	__uint(type, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf_event_array SEC(".maps");

struct {
	__uint(type, 5);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} percpu_hash SEC(".maps");

struct {
	__uint(type, 6);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} percpu_array SEC(".maps");

struct {
	__uint(type, 7);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 64);
} stack_trace SEC(".maps");

struct {
	__uint(type, 8);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} cgroup_array SEC(".maps");

struct {
	__uint(type, 9);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} lru_hash SEC(".maps");

struct {
	__uint(type, 10);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} lru_percpu_hash SEC(".maps");

struct {
	__uint(type, 11);
	__uint(max_entries, 4);
	__type(key, struct prefix);
	__type(value, u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} lpm_trie SEC(".maps");

struct {
	__uint(type, 12);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, struct inner);
} array_of_maps SEC(".maps");

struct {
	__uint(type, 13);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, struct inner);
} hash_of_maps SEC(".maps");

struct {
	__uint(type, 14);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} devmap SEC(".maps");

struct {
	__uint(type, 15);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} sockmap SEC(".maps");

struct {
	__uint(type, 16);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} cpumap SEC(".maps");

struct {
	__uint(type, 17);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} xskmap SEC(".maps");

struct {
	__uint(type, 18);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} sockhash SEC(".maps");

struct {
	__uint(type, 19);
	__type(key, struct cgroup_key);
	__type(value, u64);
} cgroup_storage SEC(".maps");

struct {
	__uint(type, 20);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} reuseport_sockarray SEC(".maps");

struct {
	__uint(type, 21);
	__type(key, struct cgroup_key);
	__type(value, u64);
} percpu_cgroup_storage SEC(".maps");

struct {
	__uint(type, 22);
	__uint(max_entries, 4);
	__uint(value_size, 4);
} queue SEC(".maps");

struct {
	__uint(type, 23);
	__uint(max_entries, 4);
	__uint(value_size, 4);
} stack SEC(".maps");

struct {
	__uint(type, 24);
	__type(key, int);
	__type(value, u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} sk_storage SEC(".maps");

struct {
	__uint(type, 25);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 8);
} devmap_hash SEC(".maps");

struct {
	__uint(type, 27);
	__uint(max_entries, 4096);
} ringbuf SEC(".maps");

struct {
	__uint(type, 28);
	__type(key, int);
	__type(value, u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} inode_storage SEC(".maps");

struct {
	__uint(type, 29);
	__type(key, int);
	__type(value, u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} task_storage SEC(".maps");

struct {
	__uint(type, 30);
	__uint(max_entries, 4);
	__type(value, u32);
} bloom_filter SEC(".maps");

struct {
	__uint(type, 31);
	__uint(max_entries, 4096);
} user_ringbuf SEC(".maps");

struct {
	__uint(type, 32);
	__type(key, int);
	__type(value, u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cgrp_storage SEC(".maps");

SEC("syscall")
int lookup(void *ctx)
{
	u32 key = 5;

	return bpf_map_lookup_elem(&array, &key) != NULL;
}
