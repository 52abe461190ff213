/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Variables of a module: one that its BTF knows, which is per CPU, and one by its address. Expected: with the test
 * kernel's module loaded, and "read" returns 0; without it ESRCH.
 */
#include "core.h"
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern const int rawbpf_test_runs __ksym;
extern const void rawbpf_test_answer __ksym;
extern const int rawbpf_test_no_such_variable __ksym __weak;

int runs;
int answer;

SEC("syscall")
int read(void *ctx)
{
	const int *first = bpf_per_cpu_ptr(&rawbpf_test_runs, 0);

	expect(first);
	runs = *first;
	expect(!bpf_probe_read_kernel(&answer, sizeof(answer), &rawbpf_test_answer));
	expect(!&rawbpf_test_no_such_variable);
	return 0;
}
