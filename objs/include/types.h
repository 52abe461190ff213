/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fixed-width integers and what C leaves to a library; BPF programs have no libc to include. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/* What callbacks return, negated, when they fail. */
enum {
	ENOMEM = 12,
	EINVAL = 22,
	ENOSPC = 28,
};

/* Address families and protocols. */
enum {
	AF_INET = 2,
	AF_INET6 = 10,
};
enum {
	IPPROTO_TCP = 6,
	IPPROTO_MPTCP = 262,
};

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
