/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a static linker leaves of an overridden weak function: instructions with a relocation that no symbol covers.
 * Expected: they are skipped, in .text as in a program's section; both programs return 0.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u64 touched;

__noinline int used(int number)
{
	touched++;
	return number + 1;
}

asm(".pushsection .text\n"
    "	r1 = touched ll\n"
    "	r0 = *(u64 *)(r1 + 0)\n"
    "	exit\n"
    ".popsection\n");

SEC("syscall")
int before(void *ctx)
{
	expect(used(1) == 2);
	return 0;
}

asm(".pushsection syscall, \"ax\", @progbits\n"
    "	call used\n"
    "	r1 = touched ll\n"
    "	exit\n"
    ".popsection\n");

SEC("syscall")
int after(void *ctx)
{
	expect(used(2) == 3);
	return 0;
}
