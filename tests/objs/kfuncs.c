/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls of kernel functions, strong and weak. Expected: all load on Linux 6.4 and newer, the calls of the missing
 * weak one are never reached; each program returns 0.
 */
#include "expect.h"
#include "kfuncs.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct __sk_buff {
	u32 len;
} __core;

struct sk_buff {
	u32 len;
} __core;

struct bpf_iter_num {
	u64 state;
};

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;
extern int rawbpf_no_such_kfunc(int number) __ksym __weak;
/* Behind three underscores a name is only for the reader: this is bpf_rdonly_cast. */
extern void *bpf_rdonly_cast___again(const void *object, u32 btf_id) __ksym __weak;
/* The kernel has it with other parameters: a weak one does not exist then. */
extern int bpf_iter_num_new___of_another_type(struct bpf_iter_num *it) __ksym __weak;

static int sum_below(int end)
{
	int sum = 0;

	for_each(num, number, 0, end)
		sum += *number;
	return sum;
}

SEC("syscall")
int iterate(void *ctx)
{
	expect(sum_below(11) == 55);
	expect(sum_below(0) == 0);
	return 0;
}

/* The iterator is destroyed when the loop is left early. */
SEC("syscall")
int leave_early(void *ctx)
{
	for_each(num, number, 5, 10) {
		if (*number == 7)
			return 0;
	}
	return __LINE__;
}

SEC("syscall")
int weak_missing(void *ctx)
{
	expect(bpf_cast_to_kern_ctx);
	expect(bpf_rdonly_cast___again);
	if (rawbpf_no_such_kfunc)
		return rawbpf_no_such_kfunc(1);
	if (bpf_iter_num_new___of_another_type)
		return bpf_iter_num_new___of_another_type(NULL);
	return 0;
}

/* The kernel's own context behind the stable one: a packet's length, read from struct sk_buff. */
SEC("tc")
int kernel_context(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);
	struct sk_buff *cast = core_cast(kernel_skb, struct sk_buff);

	expect(kernel_skb->len == skb->len);
	expect(cast->len == kernel_skb->len);
	return 0;
}

/* Called from a subprogram that two programs share. */
static __noinline int subprogram(void)
{
	return sum_below(4);
}

SEC("syscall")
int from_subprogram(void *ctx)
{
	expect(subprogram() == 6);
	expect(subprogram() + sum_below(3) == 9);
	return 0;
}
