/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What nearly every object needs: sections, and programs with named arguments. */
#pragma once

#include "helpers.h"
#include "maps.h"
#include "types.h"

/* Puts a program, map or variable into the section that tells the loader what it is. */
#define SEC(name) __attribute__((section(name), used))

/* A subprogram that the verifier checks by itself, once, instead of at each call. */
#define __noinline __attribute__((noinline))
#define __always_inline inline __attribute__((always_inline))
#define __weak __attribute__((weak))
/* Not the user's business: no loader offers a hidden variable by name. */
#define __hidden __attribute__((visibility("hidden")))

/*
 * BPF_PROG(name, arguments...) writes a program with the arguments of the kernel function that it stands for.
 * Programs of the types struct_ops, fentry, fmod_ret, tp_btf and iter get one pointer, to an array of the arguments
 * in 64-bit slots. The program proper unpacks them and calls the body, which the compiler inlines. A slot is an
 * integer and the argument may be a pointer, hence the silenced warning.
 *
 *	SEC("struct_ops")
 *	u32 BPF_PROG(ssthresh, struct sock *sk)
 *	{
 *		...
 *	}
 */
#define BPF_PROG(name, ...)                                                                        \
	name(u64 *slots);                                                                          \
	static __always_inline typeof(name(0)) name##_body(__VA_ARGS__);                           \
	typeof(name(0)) name(u64 *slots)                                                           \
	{                                                                                          \
		_Pragma("clang diagnostic push")                                                   \
		_Pragma("clang diagnostic ignored \"-Wint-conversion\"")                           \
		return name##_body(SLOTS(ARGUMENT_COUNT(__VA_ARGS__)));                            \
		_Pragma("clang diagnostic pop")                                                    \
	}                                                                                          \
	static __always_inline typeof(name(0)) name##_body(__VA_ARGS__)

#define ARGUMENT_COUNT(...) SEVENTH(__VA_ARGS__, 6, 5, 4, 3, 2, 1)
#define SEVENTH(a1, a2, a3, a4, a5, a6, count, ...) count
#define SLOTS(count) SLOTS_EXPANDED(count)
#define SLOTS_EXPANDED(count) SLOTS_##count
#define SLOTS_1 slots[0]
#define SLOTS_2 SLOTS_1, slots[1]
#define SLOTS_3 SLOTS_2, slots[2]
#define SLOTS_4 SLOTS_3, slots[3]
#define SLOTS_5 SLOTS_4, slots[4]
#define SLOTS_6 SLOTS_5, slots[5]
