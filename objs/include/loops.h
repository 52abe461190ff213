/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What loops need: numbers to count with, and sections that keep what is looked at alive. */
#pragma once

#include "kfuncs.h"

/* Kernel objects that RCU protects may be looked at in between, in programs that may sleep. Linux 6.2. */
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

/* for_each(num, i, 0, 10): the numbers from 0 to 9, by pointer. Many rounds cost the verifier no more than one. */
struct bpf_iter_num {
	u64 state[1];
};
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;
