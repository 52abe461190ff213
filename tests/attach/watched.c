/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs are attached to in user space: a process that does what the letters on its standard input say, and
 * answers each with a line. It has functions, one of them twice, and USDT probes as <sys/sdt.h> writes them, with and
 * without a semaphore, at two places, with arguments in registers, in memory and as constants. x86-64 only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, used, visibility("default")))

/* The note of a probe: where it is, its semaphore or 0, provider, name, and where its arguments are. */
#define NOTE(name, semaphore, arguments)                                              \
	"990: nop\n"                                                                  \
	".pushsection .note.stapsdt,\"\",\"note\"\n"                                  \
	".balign 4\n"                                                                 \
	".4byte 992f-991f, 994f-993f, 3\n"                                            \
	"991: .asciz \"stapsdt\"\n"                                                   \
	"992: .balign 4\n"                                                            \
	"993: .8byte 990b\n"                                                          \
	".8byte _.stapsdt.base\n"                                                     \
	".8byte " semaphore "\n"                                                      \
	".asciz \"watched\"\n"                                                        \
	".asciz \"" name "\"\n"                                                       \
	".asciz \"" arguments "\"\n"                                                  \
	"994: .balign 4\n"                                                            \
	".popsection\n"                                                               \
	".ifndef _.stapsdt.base\n"                                                    \
	".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"       \
	".weak _.stapsdt.base\n"                                                      \
	".hidden _.stapsdt.base\n"                                                    \
	"_.stapsdt.base: .space 1\n"                                                  \
	".size _.stapsdt.base, 1\n"                                                   \
	".popsection\n"                                                               \
	".endif\n"

unsigned short watched_guarded_semaphore __attribute__((section(".probes"), used));
long table[4] = {10, 20, 30, -40};

NOINLINE long plain(long number)
{
	asm volatile("" ::: "memory");
	return number + 1;
}

NOINLINE long plainly(long number)
{
	asm volatile("" ::: "memory");
	return number + 2;
}

NOINLINE long probed(long number, int half, signed char small)
{
	long index = 3;
	long *base = table;

	asm volatile(NOTE("values", "0", "8@%[number] -4@%[half] -1@%b[small] -4@$-7 8@8(%[base]) -8@(%[base],%[index],8)")
		     :: [number] "D"(number), [half] "S"(half), [small] "d"((long)small), [base] "r"(base),
			[index] "r"(index) : "memory");
	return number;
}

NOINLINE void twice(void)
{
	asm volatile(NOTE("twice", "0", "8@$1") ::: "memory");
	asm volatile(NOTE("twice", "0", "8@$2") ::: "memory");
}

NOINLINE int guarded(void)
{
	asm volatile(NOTE("guarded", "watched_guarded_semaphore", "") ::: "memory");
	return watched_guarded_semaphore;
}

NOINLINE void unreadable(void)
{
	asm volatile(NOTE("unreadable", "0", "8@%%xmm0") ::: "memory");
}

int main(void)
{
	int letter;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((letter = getchar()) != EOF) {
		long answer = 0;

		switch (letter) {
		case 'f':
			answer = plain(1) + plainly(1);
			break;
		case 'p':
			answer = probed(-5, -6, -7);
			break;
		case 't':
			twice();
			break;
		case 'g':
			answer = guarded();
			break;
		case 'u':
			unreadable();
			break;
		case 'l':
			answer = getpgid(0) > 0;
			break;
		default:
			continue;
		}
		printf("%c %ld\n", letter, answer);
	}
	return 0;
}
