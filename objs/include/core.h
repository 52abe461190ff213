/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Compile once, run everywhere, and externs. A kernel type is declared with just the members that the program
 * touches; the compiler records each access by name, and the loader patches in what the running kernel has.
 */
#pragma once

#include "types.h"

/* struct sock { ... } __core; accesses to its members are relocated. */
#define __core __attribute__((preserve_access_index))

/* Names that the loader finds: in the kernel's configuration, and among its symbols. */
#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))

/* enum bpf_core_relo_kind, kernel ABI: the second argument of the compiler's builtins. */
enum {
	CORE_FIELD_BYTE_OFFSET = 0,
	CORE_FIELD_BYTE_SIZE = 1,
	CORE_FIELD_EXISTS = 2,
	CORE_FIELD_SIGNED = 3,
	CORE_FIELD_LSHIFT_U64 = 4,
	CORE_FIELD_RSHIFT_U64 = 5,
};
enum {
	CORE_TYPE_ID_LOCAL = 0,
	CORE_TYPE_ID_TARGET = 1,
};
enum {
	CORE_TYPE_EXISTS = 0,
	CORE_TYPE_SIZE = 1,
	CORE_TYPE_MATCHES = 2,
};
enum {
	CORE_ENUMVAL_EXISTS = 0,
	CORE_ENUMVAL_VALUE = 1,
};

/* Questions about a member, given as an access: core_field_exists(tp->is_mptcp). */
#define core_field_offset(field) __builtin_preserve_field_info(field, CORE_FIELD_BYTE_OFFSET)
#define core_field_size(field) __builtin_preserve_field_info(field, CORE_FIELD_BYTE_SIZE)
#define core_field_exists(field) __builtin_preserve_field_info(field, CORE_FIELD_EXISTS)
#define core_field_signed(field) __builtin_preserve_field_info(field, CORE_FIELD_SIGNED)
#define core_field_lshift(field) __builtin_preserve_field_info(field, CORE_FIELD_LSHIFT_U64)
#define core_field_rshift(field) __builtin_preserve_field_info(field, CORE_FIELD_RSHIFT_U64)

/* How the builtins below are told a type and an enumerator: clang takes casts, gcc an object, which nobody defines. */
#ifdef __clang__
#define CORE_TYPE(type) (*(typeof(type) *)0)
#define CORE_ENUMERATOR(type, enumerator) (*(typeof(type) *)enumerator)
#else
#define CORE_NAMED(type, number)                             \
	({                                                   \
		extern typeof(type) *core_object_##number;   \
		core_object_##number;                        \
	})
#define CORE_NUMBERED(type, number) CORE_NAMED(type, number)
#define CORE_TYPE(type) (*CORE_NUMBERED(type, __COUNTER__))
#define CORE_ENUMERATOR(type, enumerator) CORE_NUMBERED(type, __COUNTER__), enumerator
#endif

/* Questions about a type. */
#define core_type_id_local(type) __builtin_btf_type_id(CORE_TYPE(type), CORE_TYPE_ID_LOCAL)
#define core_type_id_target(type) __builtin_btf_type_id(CORE_TYPE(type), CORE_TYPE_ID_TARGET)
#define core_type_exists(type) __builtin_preserve_type_info(CORE_TYPE(type), CORE_TYPE_EXISTS)
#define core_type_size(type) __builtin_preserve_type_info(CORE_TYPE(type), CORE_TYPE_SIZE)
#define core_type_matches(type) __builtin_preserve_type_info(CORE_TYPE(type), CORE_TYPE_MATCHES)

/* Questions about an enumerator. */
#define core_enum_value_exists(type, enumerator) \
	__builtin_preserve_enum_value(CORE_ENUMERATOR(type, enumerator), CORE_ENUMVAL_EXISTS)
#define core_enum_value(type, enumerator) \
	__builtin_preserve_enum_value(CORE_ENUMERATOR(type, enumerator), CORE_ENUMVAL_VALUE)

/*
 * A bit-field of a kernel struct. Where it lies and how wide it is are only known when the program is loaded, so
 * the bytes around it are read whole, then shifted up to drop what is above the field, and down to drop what is
 * below.
 */
#define core_bitfield(object, field)                                                               \
	({                                                                                         \
		const void *bytes = (const void *)(object) + core_field_offset((object)->field);   \
		u64 bits = 0;                                                                      \
                                                                                                   \
		/* The address is kept opaque, or the compiler would merge the four loads. */      \
		asm("" : "+r"(bytes));                                                             \
		switch (core_field_size((object)->field)) {                                        \
		case 1:                                                                            \
			bits = *(const u8 *)bytes;                                                 \
			break;                                                                     \
		case 2:                                                                            \
			bits = *(const u16 *)bytes;                                                \
			break;                                                                     \
		case 4:                                                                            \
			bits = *(const u32 *)bytes;                                                \
			break;                                                                     \
		case 8:                                                                            \
			bits = *(const u64 *)bytes;                                                \
			break;                                                                     \
		}                                                                                  \
		bits <<= core_field_lshift((object)->field);                                       \
		core_field_signed((object)->field)                                                 \
			? (s64)bits >> core_field_rshift((object)->field)                          \
			: bits >> core_field_rshift((object)->field);                              \
	})
