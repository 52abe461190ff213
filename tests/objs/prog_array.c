/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program array with static slots, which are relocations of the section .maps. Expected: slots 1 and 3 filled.
 * "entry" calls the program in the slot that the variable names: it returns 100 + slot, or 1 when nothing is there.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct __sk_buff;
int one(struct __sk_buff *skb);
int three(struct __sk_buff *skb);

u32 slot = 3;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(u32));
	__array(values, int(struct __sk_buff *));
} jumps SEC(".maps") = {
	.values = {[1] = one, [3] = three},
};

SEC("tc")
int one(struct __sk_buff *skb)
{
	return 101;
}

SEC("tc")
int three(struct __sk_buff *skb)
{
	return 103;
}

SEC("tc")
int entry(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &jumps, slot);
	return 1;
}
