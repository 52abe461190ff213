/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Variables of which each CPU has its own (Linux 7.3). Expected: a per-CPU array for each section, without a prefix in
 * its name; each CPU begins with the initial values. "initial_values" returns 0 on a fresh object; "count" changes
 * those of the CPU that it runs on.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct point {
	int x;
	int y;
};

u64 counter SEC(".percpu") = 40;
struct point corner SEC(".percpu") = { 3, -4 };
static int hidden SEC(".percpu") = 5;
u32 history[4] SEC(".percpu.of_each_cpu") = { 1, 2, 3, 4 };

SEC("syscall")
int initial_values(void *ctx)
{
	expect(counter == 40);
	expect(corner.x == 3 && corner.y == -4);
	expect(hidden == 5);
	expect(history[3] == 4);
	return 0;
}

SEC("syscall")
int count(void *ctx)
{
	counter += 2;
	hidden++;
	history[0] = counter;
	return 0;
}
