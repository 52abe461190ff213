/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Global variables of every section and type. Expected: 8 data maps, of which .data.hidden and .data.static cannot be
 * mapped. "initial_values" returns 0 on a fresh object; "write_all" then stores what a test reads back.
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum color {
	RED,
	GREEN = 5,
	BLUE,
};

enum offset {
	BELOW = -7,
	ABOVE = 7,
};

enum wide {
	WIDE_SMALL = 1,
	WIDE_LARGE = 0x123456789abcdef0,
};

struct point {
	int x;
	int y;
};

union number {
	u64 whole;
	u8 bytes[8];
};

struct nested {
	struct point corners[2];
	union number number;
	enum color color;
	u32 low : 3;
	s32 middle : 7;
	u32 high : 22;
	const char *pointer;
	struct {
		u16 inner;
	} unnamed;
	union {
		u32 either;
		s32 or;
	};
};

typedef struct point corner_t;

/* .data: written by the program and by the user. */
u8 an_u8 = 0xff;
s8 an_s8 = -1;
u16 an_u16 = 0xfffe;
s16 an_s16 = -2;
u32 an_u32 = 0xfffffffd;
s32 an_s32 = -3;
u64 an_u64 = 0xfffffffffffffffc;
s64 an_s64 = -4;
bool a_bool = true;
char a_char = 'c';
char a_string[16] = "initial";
enum color a_color = BLUE;
enum offset an_offset = BELOW;
enum wide a_wide = WIDE_LARGE;
corner_t a_corner = {1, -1};
struct nested a_nested = {
	.corners = {{1, 2}, {3, 4}},
	.number = {.whole = 0x0102030405060708},
	.color = GREEN,
	.low = 5,
	.middle = -33,
	.high = 0x2fffff,
	.unnamed = {.inner = 9},
	.or = -10,
};
u32 a_matrix[2][3] = {{1, 2, 3}, {4, 5, 6}};
volatile u32 a_volatile = 77;
static volatile u32 a_static = 88;

/* .rodata: the user sets it before loading, and no one after. */
const volatile u32 ro_number = 4242;
const volatile char ro_string[] = "read only";
const volatile struct point ro_points[3] = {{1, 2}, {3, 4}, {5, 6}};
const volatile u32 ro_zero;
static const volatile u8 ro_static = 0x5a;

/* .bss: not in the file; the large one takes 64 KiB of the map all the same. */
u64 bss_number;
struct point bss_point;
void *bss_pointer;
u8 bss_large[1 << 16];
static volatile u64 bss_static;

/* Sections of one's own. */
u32 data_custom SEC(".data.custom") = 1;
const volatile u32 rodata_custom SEC(".rodata.custom") = 2;
u32 bss_custom SEC(".bss.custom");

/* Not for the user: a section that holds nothing else gets a map that cannot be mapped. */
__hidden u32 data_hidden SEC(".data.hidden") = 3;
__hidden u32 data_with_others = 4;
static volatile u32 data_static SEC(".data.static") = 5;

SEC("syscall")
int initial_values(void *ctx)
{
	expect(an_u8 == 0xff && an_s8 == -1);
	expect(an_u16 == 0xfffe && an_s16 == -2);
	expect(an_u32 == 0xfffffffd && an_s32 == -3);
	expect(an_u64 == 0xfffffffffffffffc && an_s64 == -4);
	expect(a_bool && a_char == 'c');
	expect(a_string[0] == 'i' && a_string[6] == 'l' && !a_string[7]);
	expect(a_color == BLUE && an_offset == BELOW && a_wide == WIDE_LARGE);
	expect(a_corner.x == 1 && a_corner.y == -1);
	expect(a_nested.corners[1].y == 4);
	expect(a_nested.number.whole == 0x0102030405060708);
	expect(a_nested.low == 5 && a_nested.middle == -33 && a_nested.high == 0x2fffff);
	expect(a_nested.unnamed.inner == 9 && a_nested.or == -10);
	expect(a_matrix[1][2] == 6);
	expect(a_volatile == 77 && a_static == 88);
	expect(ro_string[0] == 'r' && ro_points[2].y == 6 && ro_static == 0x5a);
	expect(!bss_number && !bss_point.x && !bss_pointer && !bss_large[0xffff] && !bss_static);
	expect(data_custom == 1 && rodata_custom == 2 && !bss_custom);
	expect(data_hidden == 3 && data_with_others == 4 && data_static == 5);
	return 0;
}

/* Returns ro_zero if the user has set it. The verifier knows both values, and drops the branch not taken. */
SEC("syscall")
int constants(void *ctx)
{
	return ro_zero ? (int)ro_zero : (int)ro_number;
}

SEC("syscall")
int write_all(void *ctx)
{
	an_u8 = 1;
	an_s8 = -100;
	an_u64 = 0x1122334455667788;
	a_bool = false;
	a_string[0] = 'I';
	a_color = RED;
	an_offset = ABOVE;
	a_wide = WIDE_SMALL;
	a_corner.x = -1000;
	a_nested.corners[1].y = 44;
	a_nested.middle = 33;
	a_matrix[1][2] = 66;
	a_static++;
	bss_number++;
	bss_point.x = 10;
	bss_point.y = -10;
	bss_pointer = (void *)0x1234;
	bss_large[0xffff] = 0xee;
	bss_static++;
	data_custom = 11;
	bss_custom = 12;
	data_hidden = 13;
	data_with_others = 14;
	data_static = 15;
	return 0;
}
