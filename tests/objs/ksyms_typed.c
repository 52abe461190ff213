/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel symbols with a type: variables that the kernel's BTF knows, which are the per-CPU ones. Expected: loaded by a
 * kernel with CONFIG_KALLSYMS_ALL (any other answers ENOENT, and tells the symbol's name); "per_cpu" returns 0, and
 * leaves in the variables what a test compares.
 */
#include "core.h"
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct rq {
	int cpu;
} __core;

extern const int bpf_prog_active __ksym;
extern const struct rq runqueues __ksym;

int active = -1;
int first_cpu = -1;
int this_cpu = -1;

SEC("syscall")
int per_cpu(void *ctx)
{
	const int *counter = bpf_this_cpu_ptr(&bpf_prog_active);
	const struct rq *own = bpf_this_cpu_ptr(&runqueues);
	const struct rq *first = bpf_per_cpu_ptr(&runqueues, 0);

	active = *counter;
	this_cpu = own->cpu;
	expect(first);
	first_cpu = first->cpu;
	expect(!bpf_per_cpu_ptr(&runqueues, 1 << 20));
	return 0;
}
