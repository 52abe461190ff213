/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Map definitions. A map is a global struct in the section ".maps" that is never read or written: each attribute is
 * a member, and its value is hidden in the member's type (a number N as int (*)[N], a type T as T *), so that a
 * loader finds it in BTF.
 *
 *	struct {
 *		__uint(type, BPF_MAP_TYPE_HASH);
 *		__uint(max_entries, 1024);
 *		__type(key, u32);
 *		__type(value, struct flow);
 *	} flows SEC(".maps");
 */
#pragma once

#include "types.h"

#define __uint(name, value) int (*name)[value]
#define __type(name, type) typeof(type) *name
/* Static slots: inner maps, or programs to tail-call. */
#define __array(name, type) typeof(type) *name[]
/* A number wider than 32 bits, as the only enumerator of an enum. */
#define __ulong(name, value) __ulong_named(name, value, __COUNTER__)
#define __ulong_named(name, value, unique) __ulong_enum(name, value, unique)
#define __ulong_enum(name, value, unique) enum { name##_value_##unique = value } name

/* The map types of enum bpf_map_type that are used here; the numbers are kernel ABI. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_BLOOM_FILTER = 30,
	BPF_MAP_TYPE_USER_RINGBUF = 31,
	BPF_MAP_TYPE_ARENA = 33,
};

/* Flags of map creation. */
enum {
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_RDONLY_PROG = 1 << 7,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_F_INNER_MAP = 1 << 12,
};

/* Values of the attribute "pinning". */
enum {
	LIBBPF_PIN_NONE,
	LIBBPF_PIN_BY_NAME,
};

/* Flags of the helpers that store into a map or into local storage. */
enum {
	BPF_ANY,
	BPF_NOEXIST,
	BPF_EXIST,
};
enum {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1 << 0,
};
/* Flags of bpf_perf_event_output: the buffer of the CPU that the program runs on. */
enum {
	BPF_F_CURRENT_CPU = 0xffffffff,
};
