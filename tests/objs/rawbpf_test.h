/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the test kernel's module (tools/kernel/module) has, as far as the objects here use it. */
#pragma once

#include "core.h"
#include "types.h"

enum rawbpf_test_kind {
	RAWBPF_TEST_EVEN = 10, /* 0 in the module: relocated */
	RAWBPF_TEST_ODD = 11,
};

struct rawbpf_test_pair {
	int first;
	int second;
} __core;

/* Other than the module's in the order of its members, and their offsets. */
struct rawbpf_test_event {
	char label[16];
	struct rawbpf_test_pair pair;
	enum rawbpf_test_kind kind;
	u32 level : 5;
	u64 value;
} __core;
