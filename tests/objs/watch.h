/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * WATCH(name, section) is a program that counts its runs in one process in `hits_name` and keeps the cookie of its
 * attachment in `cookie_name`. The process is the global `process`; 0 means all.
 */
#pragma once

#include "program.h"

static u64 (*const bpf_get_attach_cookie)(void *ctx) = (void *)174;

u32 process;

static __always_inline int watched(void)
{
	return !process || bpf_get_current_pid_tgid() >> 32 == process;
}

#define WATCH(name, section)                               \
	u64 hits_##name;                                   \
	u64 cookie_##name;                                 \
	SEC(section) int name(void *ctx)                   \
	{                                                  \
		if (watched()) {                           \
			__sync_fetch_and_add(&hits_##name, 1); \
			cookie_##name = bpf_get_attach_cookie(ctx); \
		}                                          \
		return 0;                                  \
	}
