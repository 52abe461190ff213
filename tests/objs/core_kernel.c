/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CO-RE against a real kernel's types. Expected: loaded by any kernel with BTF since 5.14, both autoloaded programs
 * return 0; "?syscall" is poisoned and refused.
 */
#include "core.h"
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *group_leader;
	char comm[16];
} __core;

/* As if a kernel had kept the name of a task elsewhere. */
struct task_struct___never {
	char no_such_name[16];
	struct {
		int inner;
	} no_such_struct;
} __core;

enum bpf_map_type___known {
	BPF_MAP_TYPE_ARRAY___known = 1000,
	BPF_MAP_TYPE_NEVER___known = 1001,
};

SEC("syscall")
int own_task(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 pid_tgid = bpf_get_current_pid_tgid();

	expect(task->pid == (int)pid_tgid);
	expect(task->tgid == (int)(pid_tgid >> 32));
	expect(task->group_leader->pid == task->tgid);
	expect(task->comm[0]);
	expect(core_type_size(struct task_struct) > 1000);
	expect(core_enum_value_exists(enum bpf_map_type___known, BPF_MAP_TYPE_ARRAY___known));
	expect(core_enum_value(enum bpf_map_type___known, BPF_MAP_TYPE_ARRAY___known) == BPF_MAP_TYPE_ARRAY);
	expect(!core_enum_value_exists(enum bpf_map_type___known, BPF_MAP_TYPE_NEVER___known));
	return 0;
}

SEC("syscall")
int guarded(void *ctx)
{
	struct task_struct___never *task = (void *)bpf_get_current_task_btf();

	if (core_field_exists(task->no_such_struct.inner))
		return task->no_such_struct.inner;
	return 0;
}

SEC("?syscall")
int unguarded(void *ctx)
{
	struct task_struct___never *task = (void *)bpf_get_current_task_btf();

	return task->no_such_name[3];
}
