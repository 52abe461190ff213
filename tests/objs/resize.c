/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sections that a user makes larger before loading: each ends with an array, but two. Expected: as they are "sums"
 * returns 6 + 5; with larger sections the sum of what the user puts into them.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct point {
	u32 x;
	u32 y;
};

const volatile u32 length SEC(".rodata.lengths") = 3;

/* The compiler must not know where they end. */
u64 before SEC(".data.growing") = 1;
u32 growing[3] SEC(".data.growing") = { 1, 2, 3 };
struct point points[1] SEC(".bss.points");
volatile u32 last_number SEC(".data.no_array") = 5;
static volatile u32 fixed[2] SEC(".data.static") = { 7, 8 };

SEC("syscall")
int sums(void *ctx)
{
	u32 *number = growing;
	u32 sum = 0;

	asm volatile("" : "+r"(number));
	for (u32 i = 0; i < length && i < 1000; i++)
		sum += number[i];
	points[0].x = fixed[0];
	return sum + last_number;
}
