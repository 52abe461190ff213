/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program that prints to its own streams. The kernel function has had three names. Expected: each returns 0, -1 on
 * kernels that have none of them, -ENOMEM on those that cannot allocate in any context. Linux 6.17.
 */
#include "kfuncs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
	STDOUT = 1,
	STDERR = 2,
};

/* 6.17 had the first with five arguments, stable 6.18 has the second; later the first lost its last argument. */
extern int bpf_stream_vprintk___five(int stream, const char *fmt__str, const void *args, u32 len__sz,
				     void *aux__prog) __ksym __weak;
extern int bpf_stream_vprintk_impl(int stream, const char *fmt__str, const void *args, u32 len__sz,
				   void *aux__prog) __ksym __weak;
extern int bpf_stream_vprintk(int stream, const char *fmt__str, const void *args, u32 len__sz) __ksym __weak;

static int print(int stream, const char *format, const u64 *arguments, u32 size)
{
	if (bpf_stream_vprintk_impl)
		return bpf_stream_vprintk_impl(stream, format, arguments, size, NULL);
	if (bpf_stream_vprintk)
		return bpf_stream_vprintk(stream, format, arguments, size);
	if (bpf_stream_vprintk___five)
		return bpf_stream_vprintk___five(stream, format, arguments, size, NULL);
	return -1;
}

static const char numbered[] = "line %llu of stdout\n";
static const char started[] = "no newline yet";
static const char complaint[] = "a complaint\n";

u64 count;

SEC("syscall")
int talk(void *context)
{
	u64 number = ++count;

	int error = print(STDOUT, numbered, &number, sizeof(number));

	return error ?: print(STDERR, complaint, &number, 0);
}

SEC("syscall")
int begin(void *context)
{
	u64 nothing = 0;

	return print(STDOUT, started, &nothing, 0);
}
