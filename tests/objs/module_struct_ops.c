/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A struct_ops type of a module. Expected: with the test kernel's module "full" and "plain" are made, "lean" when it
 * is asked for; only one of them can be registered at a time. Without it ESRCH.
 */
#include "program.h"
#include "rawbpf_test.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct rawbpf_test_ops {
	int (*run)(struct rawbpf_test_event *event);
	int (*bonus)(int first, int second);
	u32 scale;
	char name[16];
};

struct rawbpf_test_ops___reordered {
	char name[16];
	u32 scale;
	int (*run)(struct rawbpf_test_event *event);
};

extern int rawbpf_test_add(int first, int second) __ksym;

u64 runs;
u64 bonuses;

SEC("struct_ops/run")
int BPF_PROG(run, struct rawbpf_test_event *event)
{
	runs++;
	return rawbpf_test_add(event->value, event->pair.second);
}

SEC("struct_ops.s/run")
int BPF_PROG(run_sleepable, struct rawbpf_test_event *event)
{
	runs++;
	return core_bitfield(event, level);
}

SEC("struct_ops/bonus")
int BPF_PROG(bonus, int first, int second)
{
	bonuses++;
	return first * second;
}

SEC(".struct_ops.link")
struct rawbpf_test_ops full = {
	.run = (void *)run,
	.bonus = (void *)bonus,
	.scale = 100,
	.name = "full",
};

SEC("?.struct_ops.link")
struct rawbpf_test_ops___reordered lean = {
	.run = (void *)run_sleepable,
	.scale = 2,
	.name = "lean",
};

SEC(".struct_ops")
struct rawbpf_test_ops plain = {
	.run = (void *)run,
	.scale = 1,
	.name = "plain",
};
