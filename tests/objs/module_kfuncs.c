/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Functions of a module, called beside those of vmlinux. Expected: with the test kernel's module all load, and each
 * returns 0; without it ESRCH or EINVAL, for the strong ones do not exist.
 */
#include "expect.h"
#include "kfuncs.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct rawbpf_test_pair {
	int first;
	int second;
};

struct rawbpf_test_ticket {
	int number;
} __core;

struct bpf_iter_num {
	u64 state;
};

static void *(*const bpf_kptr_xchg)(void *field, void *object) = (void *)194;

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int rawbpf_test_add(int first, int second) __ksym;
extern int rawbpf_test_dot(const struct rawbpf_test_pair *one, const struct rawbpf_test_pair *other) __ksym;
extern int rawbpf_test_sleep(u32 usecs) __ksym;
extern struct rawbpf_test_ticket *rawbpf_test_take(int number) __ksym;
extern void rawbpf_test_give_back(struct rawbpf_test_ticket *ticket) __ksym;
extern int rawbpf_test_no_such_function(void) __ksym __weak;

SEC("syscall")
int call(void *ctx)
{
	struct rawbpf_test_pair one = { 3, 4 }, other = { 5, 6 };
	int sum = 0;

	for_each(num, number, 0, 5)
		sum = rawbpf_test_add(sum, *number);
	expect(sum == 10);
	expect(rawbpf_test_dot(&one, &other) == 39);
	expect(!rawbpf_test_no_such_function);
	return 0;
}

SEC("syscall")
int sleep(void *ctx)
{
	return rawbpf_test_sleep(10);
}

SEC("syscall")
int take_and_give_back(void *ctx)
{
	struct rawbpf_test_ticket *ticket = rawbpf_test_take(7);
	int number;

	if (!ticket)
		return __LINE__;
	number = ticket->number;
	rawbpf_test_give_back(ticket);
	expect(number == 7);
	return 0;
}

/* A value of a map that holds a thing of the module, whose type the kernel finds by its name. */
struct drawer {
	struct rawbpf_test_ticket __attribute__((btf_type_tag("kptr"))) * ticket;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct drawer);
} drawers SEC(".maps");

/* The map keeps the ticket, which it gives back when it goes. */
SEC("syscall")
int keep(void *ctx)
{
	u32 zero = 0;
	struct drawer *drawer = bpf_map_lookup_elem(&drawers, &zero);
	struct rawbpf_test_ticket *ticket;

	expect(drawer);
	ticket = rawbpf_test_take(8);
	if (!ticket)
		return __LINE__;
	ticket = bpf_kptr_xchg(&drawer->ticket, ticket);
	if (ticket)
		rawbpf_test_give_back(ticket);
	return 0;
}
