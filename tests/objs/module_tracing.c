/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A module's functions and its tracepoint, and CO-RE against its types. Expected: with the test kernel's module all
 * load, and count what they see; without it ESRCH, for what they attach to does not exist.
 */
#include "program.h"
#include "rawbpf_test.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u64 entered;
u64 left;
u64 asked;
u64 raw;
u64 traced;

u64 refused = ~0ULL; /* which value is not allowed */
int result;
u64 value;
int first;
char initial;
u32 level;
int is_odd;
u32 size;

/* The function by its name, and by the names of its module and its own. */
SEC("fentry/rawbpf_test_finish")
int on_entry(u64 *slots)
{
	entered++;
	result = slots[0];
	return 0;
}

/* result, the struct in one slot, label, and what was returned */
SEC("fexit/rawbpf_test:rawbpf_test_finish")
int on_exit(u64 *slots)
{
	left++;
	result = slots[3];
	return 0;
}

SEC("fmod_ret/rawbpf_test_allow")
int allow(u64 *slots)
{
	asked++;
	return slots[0] == refused ? -1 : 0;
}

SEC("tp_btf/rawbpf_test_ran")
int BPF_PROG(ran, struct rawbpf_test_event *event, int number)
{
	if (!event) /* of a module's tracepoint the verifier cannot know */
		return 0;
	traced++;
	value = event->value;
	first = event->pair.first;
	initial = event->label[2];
	level = core_bitfield(event, level);
	is_odd = event->kind == core_enum_value(enum rawbpf_test_kind, RAWBPF_TEST_ODD);
	size = core_type_size(struct rawbpf_test_event);
	return 0;
}

SEC("raw_tp/rawbpf_test_ran")
int ran_raw(u64 *slots)
{
	raw++;
	return 0;
}
