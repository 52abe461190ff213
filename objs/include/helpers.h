/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls into the kernel by helper number: a call through a constant pointer becomes the instruction "call N". The
 * numbers are kernel ABI (enum bpf_func_id of linux/bpf.h).
 */
#pragma once

#include "types.h"

struct bpf_sock;
struct mptcp_sock;
struct task_struct;
struct tcp_sock;

#define HELPER(number, result, name, ...) \
	static result (*const name)(__VA_ARGS__) __attribute__((unused)) = (void *)number

HELPER(1, void *, bpf_map_lookup_elem, void *map, const void *key);
HELPER(2, long, bpf_map_update_elem, void *map, const void *key, const void *value, u64 flags);
HELPER(8, u32, bpf_get_smp_processor_id, void);
HELPER(12, long, bpf_tail_call, void *ctx, void *prog_array, u32 index);
HELPER(14, u64, bpf_get_current_pid_tgid, void);
HELPER(25, long, bpf_perf_event_output, void *ctx, void *map, u64 flags, const void *data, u64 size);
HELPER(49, long, bpf_setsockopt, void *context, int level, int name, const void *value, int size);
HELPER(51, long, bpf_redirect_map, void *map, u64 key, u64 flags);
HELPER(87, long, bpf_map_push_elem, void *map, const void *value, u64 flags);
HELPER(89, long, bpf_map_peek_elem, void *map, void *value);
HELPER(107, void *, bpf_sk_storage_get, void *map, void *sk, void *initial, u64 flags);
HELPER(113, long, bpf_probe_read_kernel, void *dst, u32 size, const void *address);
HELPER(123, u64, bpf_get_current_ancestor_cgroup_id, int level);
HELPER(130, long, bpf_ringbuf_output, void *ringbuf, const void *data, u64 size, u64 flags);
HELPER(131, void *, bpf_ringbuf_reserve, void *ringbuf, u64 size, u64 flags);
HELPER(132, void, bpf_ringbuf_submit, void *record, u64 flags);
HELPER(133, void, bpf_ringbuf_discard, void *record, u64 flags);
HELPER(137, struct tcp_sock *, bpf_skc_to_tcp_sock, void *sk);
HELPER(153, void *, bpf_per_cpu_ptr, const void *percpu, u32 cpu);
HELPER(154, void *, bpf_this_cpu_ptr, const void *percpu);
HELPER(158, struct task_struct *, bpf_get_current_task_btf, void);
HELPER(164, long, bpf_for_each_map_elem, void *map, void *callback, void *context, u64 flags);
HELPER(181, long, bpf_loop, u32 iterations, void *callback, void *context, u64 flags);
HELPER(196, struct mptcp_sock *, bpf_skc_to_mptcp_sock, void *sk);
HELPER(201, long, bpf_dynptr_read, void *dst, u32 size, const void *dynptr, u32 offset, u64 flags);
HELPER(209, long, bpf_user_ringbuf_drain, void *map, void *callback, void *context, u64 flags);

#undef HELPER
