/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arguments of USDT probes. A loader writes where they are into the map __bpf_usdt_specs, and says which spec is
 * meant by the cookie of the attachment, or where the kernel has no cookies (before 5.15) by the address, in the map
 * __bpf_usdt_ip_to_spec_id. Names and layout are those of libbpf's usdt.bpf.h, so that any loader that knows that one
 * knows this one.
 */
#pragma once

#include "program.h"

#ifndef USDT_SPECS
#define USDT_SPECS 256
#endif

enum __bpf_usdt_arg_type {
	USDT_CONST,
	USDT_REG,
	USDT_MEMORY,
	USDT_SCALED,
};

struct __bpf_usdt_arg_spec {
	u64 val_off; /* the constant, or what is added to the address */
	u8 arg_type;
	u8 unused1;
	u16 idx_reg_off : 12; /* of the index register in struct pt_regs */
	u16 scale_bitshift : 4;
	u16 unused2;
	s16 reg_off; /* of the register in struct pt_regs */
	u8 arg_signed;
	u8 arg_bitshift; /* 64 less the width in bits */
};

struct __bpf_usdt_spec {
	struct __bpf_usdt_arg_spec args[12];
	u64 usdt_cookie;
	s16 arg_cnt;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, USDT_SPECS);
	__type(key, int);
	__type(value, struct __bpf_usdt_spec);
} __bpf_usdt_specs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * USDT_SPECS);
	__type(key, s64);
	__type(value, u32);
} __bpf_usdt_ip_to_spec_id SEC(".maps");

extern const _Bool LINUX_HAS_BPF_COOKIE __attribute__((section(".kconfig")));

static u64 (*const usdt_attach_cookie)(void *ctx) = (void *)174;
static long (*const usdt_read_user)(void *dst, u32 size, const void *address) = (void *)112;

#ifndef USDT_IP_OFFSET
#define USDT_IP_OFFSET 128 /* of rip in struct pt_regs of x86-64 */
#endif

static __always_inline struct __bpf_usdt_spec *usdt_spec(void *ctx)
{
	u32 number;

	if (LINUX_HAS_BPF_COOKIE) {
		number = usdt_attach_cookie(ctx);
	} else {
		s64 ip = *(s64 *)(ctx + USDT_IP_OFFSET);
		u32 *found = bpf_map_lookup_elem(&__bpf_usdt_ip_to_spec_id, &ip);

		if (!found)
			return 0;
		number = *found;
	}
	return bpf_map_lookup_elem(&__bpf_usdt_specs, &number);
}

/* How many arguments the probe has; negative if that is not known. */
static __always_inline int usdt_arguments(void *ctx)
{
	struct __bpf_usdt_spec *spec = usdt_spec(ctx);

	return spec ? spec->arg_cnt : -1;
}

/* What the user of the loader gave along. */
static __always_inline u64 usdt_cookie(void *ctx)
{
	struct __bpf_usdt_spec *spec = usdt_spec(ctx);

	return spec ? spec->usdt_cookie : 0;
}

static __always_inline int usdt_fetch(void *ctx, struct __bpf_usdt_arg_spec *arg, u64 *value)
{
	u64 base = 0, index = 0;

	if (arg->arg_type == USDT_CONST) {
		*value = arg->val_off;
		return 0;
	}
	if (bpf_probe_read_kernel(&base, sizeof(base), ctx + arg->reg_off))
		return -1;
	if (arg->arg_type == USDT_REG) {
		*value = base;
		return 0;
	}
	if (arg->arg_type == USDT_SCALED && bpf_probe_read_kernel(&index, sizeof(index), ctx + arg->idx_reg_off))
		return -1;
	return usdt_read_user(value, sizeof(*value), (void *)(base + (index << arg->scale_bitshift) + arg->val_off));
}

/* One argument, widened to 64 bits by its sign; 0 means that it could be read. */
static __noinline int usdt_argument(void *ctx, u32 number, s64 *result)
{
	struct __bpf_usdt_spec *spec = usdt_spec(ctx);
	struct __bpf_usdt_arg_spec *arg;
	u64 value = 0;

	if (!spec || number >= 12 || (s32)number >= spec->arg_cnt)
		return -1;
	arg = &spec->args[number];
	if (usdt_fetch(ctx, arg, &value))
		return -1;
	value <<= arg->arg_bitshift & 63;
	*result = arg->arg_signed ? (s64)value >> (arg->arg_bitshift & 63) : (s64)(value >> (arg->arg_bitshift & 63));
	return 0;
}
