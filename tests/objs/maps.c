/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Map definitions in every form that BTF can carry. Expected: 16 maps; the sizes are in the comments.
 * The program touches those that it can, and returns 0.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct flow_key {
	u32 address;
	u16 port;
	u8 protocol;
};

struct flow {
	u64 packets;
	u64 bytes;
	char name[8];
};

typedef struct flow flow_t;

/* Key and value by type: key 4, value 8, and both known to BTF. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, u32);
	__type(value, u64);
} typed_array SEC(".maps");

/* The members in another order; a struct key padded to 8, a value behind a typedef, 24. */
struct {
	__type(value, flow_t);
	__type(key, struct flow_key);
	__uint(max_entries, 1000);
	__uint(type, BPF_MAP_TYPE_HASH);
} flows SEC(".maps");

/* Sizes only, no BTF of key and value. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(key_size, 6);
	__uint(value_size, 10);
	__uint(max_entries, 7);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} sized_hash SEC(".maps");

/* A size and a type together have to agree. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, sizeof(u32));
	__type(key, u32);
	__type(value, struct flow);
	__uint(value_size, sizeof(struct flow));
	__uint(max_entries, 1);
} sized_and_typed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct flow);
} percpu_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 5);
	__type(key, u64);
	__type(value, u32);
} percpu_hash SEC(".maps");

/* One entry for each possible CPU, which is 0 in the object: the loader fills it in. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} perf_events SEC(".maps");

/* No key, no value; the entries are bytes, a multiple of the page size. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

/* Not a multiple of the page size: loaders round it up. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} odd_events SEC(".maps");

/* map_extra: the number of hash functions. */
struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 64);
	__uint(map_extra, 3);
	__type(value, u32);
} bloom SEC(".maps");

/* The same with numbers that take 64 bits to write down. */
struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 64);
	__ulong(map_extra, 5);
	__type(value, u32);
} bloom_ulong SEC(".maps");

/* A queue: a value but no key. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, u32);
} queue SEC(".maps");

struct prefix {
	u32 length;
	u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, u32);
} prefixes SEC(".maps");

/* Keyed by socket: no max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow);
} sockets SEC(".maps");

/* Several flags in one number; user space may map its values. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG);
	__type(key, u32);
	__type(value, u32);
} mmapable SEC(".maps");

/* A name that the kernel cuts to 15 characters. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u32);
} a_name_longer_than_the_kernel_allows SEC(".maps");

static long add_flow(void)
{
	struct flow_key key = {.address = 1, .port = 2, .protocol = 6};
	struct flow flow = {.packets = 1, .bytes = 64, .name = "first"};

	return bpf_map_update_elem(&flows, &key, &flow, BPF_ANY);
}

SEC("socket")
int use_maps(void *ctx)
{
	u32 zero = 0, one = 1, out = 0;
	u8 small_key[6] = {1, 2, 3, 4, 5, 6};
	u8 small_value[10] = {7};
	u64 *element = bpf_map_lookup_elem(&typed_array, &one);
	struct flow *per_cpu = bpf_map_lookup_elem(&percpu_array, &one);
	u32 *record;

	expect(element);
	*element += 1;
	expect(per_cpu);
	per_cpu->packets += 1;
	expect(add_flow() == 0);
	expect(bpf_map_update_elem(&sized_hash, small_key, small_value, BPF_ANY) == 0);
	expect(bpf_map_push_elem(&bloom, &one, BPF_ANY) == 0);
	expect(bpf_map_push_elem(&queue, &one, BPF_EXIST) == 0);
	expect(bpf_map_peek_elem(&queue, &out) == 0 && out == 1);
	expect(bpf_map_lookup_elem(&mmapable, &zero));
	expect(bpf_map_update_elem(&a_name_longer_than_the_kernel_allows, &zero, &one, BPF_ANY) == 0);

	record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	expect(record);
	*record = 42;
	bpf_ringbuf_submit(record, 0);
	return 0;
}
