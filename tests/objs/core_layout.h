/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the types of the made-up kernel lie in memory. core_target.c gives them their names, so that its BTF can stand
 * for that kernel's; core.c fills an image of them, and declares the names as an older source would know them.
 */
#pragma once

#include "types.h"

#define MOVED_LAYOUT { u64 gap; int x; int y; }
#define RESIZED_LAYOUT { u64 grown; u16 shrunk; s64 grown_signed; u8 *pointer; }
#define BITS_LAYOUT                     \
	{                               \
		u32 before : 5;         \
		u32 plain : 9;          \
		s32 negative : 6;       \
		u32 after : 12;         \
		u64 wide : 37;          \
		u32 was_a_bitfield;     \
		u32 is_a_bitfield : 11; \
		s16 half : 3;           \
	}
#define OUTER_LAYOUT(Moved, Either)                    \
	{                                              \
		u32 version;                           \
		struct {                               \
			int hidden;                    \
			union {                        \
				int number;            \
				u64 wide;              \
			};                             \
		};                                     \
		struct Moved points[5];                \
		struct Moved matrix[2][3];             \
		union Either either;                   \
		struct Moved *next;                    \
		int (*callback)(struct Moved *, char); \
		char name[16];                         \
	}
#define EITHER_LAYOUT { char bytes[12]; u64 whole; u32 half; }
#define FLAVORED_LAYOUT { int unrelated; int new_name; }

#define COLOR_VALUES { RED = 10, GREEN = 20, BLUE = -30 }
#define LEVEL_VALUES { LOW = 0xfffffffff0, HIGH = 0x123456789abcdef0 }
#define DEPTH_VALUES { SHALLOW = -1, DEEP = -0x123456789a }
