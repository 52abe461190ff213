/* SPDX-License-Identifier: GPL-2.0 */
/* Types of the test module that BPF programs see. */
#ifndef _RAWBPF_TEST_H
#define _RAWBPF_TEST_H

#include <linux/types.h>

enum rawbpf_test_kind {
	RAWBPF_TEST_EVEN = 0,
	RAWBPF_TEST_ODD = 1,
};

struct rawbpf_test_pair {
	int first;
	int second;
};

/* What a run is about: handed to the tracepoint and to the struct_ops programs. */
struct rawbpf_test_event {
	u64 value;
	enum rawbpf_test_kind kind;
	struct rawbpf_test_pair pair;
	u32 flags : 3;
	u32 level : 5;
	char label[16];
};

/* A thing that a program can hold: taken and given back, or kept in a map. */
struct rawbpf_test_ticket {
	atomic_t holders;
	int number;
};

struct rawbpf_test_ops {
	/* what a run results in, before it is scaled; may sleep */
	int (*run)(struct rawbpf_test_event *event);
	/* may be absent: is then not asked; else its answer is added */
	int (*bonus)(int first, int second);
	u32 scale;
	char name[16];
};

#endif
