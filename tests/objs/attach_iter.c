/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Iterators that write a line for each map, task, control group, or element of a map. Expected: they load; `elements`
 * needs a map to be attached.
 */
#include "core.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static long (*const bpf_seq_printf)(void *seq, const char *format, u32 size, const void *data, u32 length) = (void *)126;

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
} __attribute__((preserve_access_index));

struct bpf_map {
	u32 id;
} __attribute__((preserve_access_index));
struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid, tgid;
} __attribute__((preserve_access_index));
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

struct kernfs_node {
	u64 id;
} __attribute__((preserve_access_index));
struct cgroup {
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));
struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, u64);
} table SEC(".maps");

static const char one[] = "%llu\n";
static const char two[] = "%llu %llu\n";

SEC("iter/bpf_map")
int maps(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	u64 line[1];

	if (!map)
		return 0;
	line[0] = map->id;
	bpf_seq_printf(ctx->meta->seq, one, sizeof(one), line, sizeof(line));
	return 0;
}

SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	u64 line[2];

	if (!task)
		return 0;
	line[0] = task->tgid;
	line[1] = task->pid;
	bpf_seq_printf(ctx->meta->seq, two, sizeof(two), line, sizeof(line));
	return 0;
}

SEC("iter/cgroup")
int groups(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;
	u64 line[1];

	if (!cgroup)
		return 0;
	line[0] = cgroup->kn->id;
	bpf_seq_printf(ctx->meta->seq, one, sizeof(one), line, sizeof(line));
	return 0;
}

SEC("iter/bpf_map_elem")
int elements(struct bpf_iter__bpf_map_elem *ctx)
{
	u32 *key = ctx->key;
	u64 *value = ctx->value;
	u64 line[2];

	if (!key || !value)
		return 0;
	line[0] = *key;
	line[1] = *value;
	bpf_seq_printf(ctx->meta->seq, two, sizeof(two), line, sizeof(line));
	return 0;
}
