/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The made-up kernel whose BTF core.c is relocated against. Its variables only bring the types into the BTF; nothing
 * here is loaded.
 */
#include "core_layout.h"

struct moved MOVED_LAYOUT;
struct resized RESIZED_LAYOUT;
struct bits BITS_LAYOUT;
union either EITHER_LAYOUT;
struct outer OUTER_LAYOUT(moved, either);
struct flavored FLAVORED_LAYOUT;
enum color COLOR_VALUES;
enum level LEVEL_VALUES;
enum depth DEPTH_VALUES;
typedef struct moved moved_t;
typedef int (*function_t)(struct outer *, u64);

struct moved moved;
struct resized resized;
struct bits bits;
struct outer outer;
struct flavored flavored;
enum color color;
enum level level;
enum depth depth;
moved_t *moved_typedef;
function_t function;

/* Two types of one name, as a kernel built from many sources has them. */
int first_twin(void)
{
	static volatile struct twin {
		u32 gap;
		int common;
		int elsewhere;
		int only_here;
	} twin;

	return twin.common;
}

int second_twin(void)
{
	static volatile struct twin {
		u64 gap[2];
		int elsewhere;
	} twin;

	return twin.elsewhere;
}
