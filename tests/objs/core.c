/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every kind of CO-RE relocation, against a kernel that is made up: the target BTF has to be that of core_target.c,
 * of the same byte order. Expected: relocated so, and loaded, each program returns 0. The programs of the section
 * "?syscall" need what that kernel lacks: relocated they are poisoned, and the verifier refuses them.
 */
#include "core.h"
#include "core_layout.h"
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The types in memory are the target's... */
struct real_moved MOVED_LAYOUT;
struct real_resized RESIZED_LAYOUT;
struct real_bits BITS_LAYOUT;
union real_either EITHER_LAYOUT;
struct real_outer OUTER_LAYOUT(real_moved, real_either);

/* ... and these are what the source believes them to be. */
struct moved {
	int y;
	int x;
	int missing;
} __core;

struct resized {
	u32 grown;
	u64 shrunk;
	s32 grown_signed;
	void *pointer;
} __core;

struct bits {
	u32 plain : 3;
	s32 negative : 3;
	u64 wide : 3;
	u32 was_a_bitfield : 8;
	u32 is_a_bitfield;
	s16 half : 8;
} __core;

union either {
	u64 whole;
	u32 half;
	u32 missing;
} __core;

struct outer {
	struct moved *next;
	int (*callback)(struct moved *, char);
	struct moved points[8];
	struct moved matrix[2][3];
	union either either;
	int number;
	int hidden;
	char name[16];
} __core;

/* Two flavors of one type: as it once was, and as it is. */
struct flavored___old {
	int old_name;
} __core;

struct flavored___new {
	int new_name;
} __core;

struct twin {
	int elsewhere;
	int only_here;
} __core;

struct no_such_type {
	int member;
} __core;

enum color {
	RED,
	GREEN,
	BLUE,
	NO_SUCH_COLOR,
};

enum level {
	LOW = 1ull << 40,
	HIGH,
	NO_SUCH_LEVEL,
};

enum depth {
	SHALLOW = -1ll << 40,
	DEEP,
};

typedef struct moved moved_t;
typedef int no_such_typedef;
typedef int (*function_t)(struct outer *, u64);

struct real_moved moved = {.gap = -1, .x = 11, .y = -22};
struct real_resized resized = {.grown = 1234, .shrunk = 5678, .grown_signed = -9};
struct real_bits bits = {
	.before = 31,
	.plain = 0x155,
	.negative = -17,
	.after = 0xfff,
	.wide = 0x1555555555,
	.was_a_bitfield = 0xfedcba98,
	.is_a_bitfield = 0x5a5,
	.half = -3,
};
struct real_outer outer = {
	.version = -1,
	.hidden = 5,
	.number = 6,
	.points = {[3] = {.x = 7, .y = 8}},
	.either = {.whole = 0x1122334455667788},
	.name = "outer",
};

#define offset_of(type, member) __builtin_offsetof(type, member)

SEC("syscall")
int field_byte_offset(void *ctx)
{
	struct moved *m = (void *)&moved;
	struct outer *o = (void *)&outer;

	expect(core_field_offset(m->x) == offset_of(struct real_moved, x));
	expect(core_field_offset(m->y) == offset_of(struct real_moved, y));
	expect(core_field_offset(o->number) == offset_of(struct real_outer, number));
	expect(core_field_offset(o->points[3].y) == offset_of(struct real_outer, points[3].y));
	expect(core_field_offset(o->matrix[1][2].x) == offset_of(struct real_outer, matrix[1][2].x));
	expect(core_field_offset(o->either.half) == offset_of(struct real_outer, either.half));
	expect(core_field_offset(o->name[4]) == offset_of(struct real_outer, name[4]));
	return 0;
}

SEC("syscall")
int read_fields(void *ctx)
{
	struct moved *m = (void *)&moved;
	struct outer *o = (void *)&outer;

	expect(m->x == 11);
	expect(m->y == -22);
	expect(o->hidden == 5);
	expect(o->number == 6);
	expect(o->points[3].x == 7 && o->points[3].y == 8);
	expect(o->either.whole == 0x1122334455667788);
	expect(o->name[4] == 'r');
	return 0;
}

SEC("syscall")
int write_fields(void *ctx)
{
	struct outer *o = (void *)&outer;
	int computed = o->number * 2;

	o->points[4].x = 77;
	o->points[4].y = computed;
	o->hidden++;
	expect(outer.points[4].x == 77);
	expect(outer.points[4].y == 12);
	expect(outer.hidden == 6);
	outer.hidden = 5;
	return 0;
}

/* An access of unsigned integers or pointers takes on the target's size. */
SEC("syscall")
int field_byte_size(void *ctx)
{
	struct resized *r = (void *)&resized;
	struct outer *o = (void *)&outer;

	expect(core_field_size(r->grown) == 8);
	expect(core_field_size(r->shrunk) == 2);
	expect(core_field_size(r->grown_signed) == 8);
	expect(core_field_size(o->points) == 5 * sizeof(struct real_moved));
	expect(core_field_size(o->points[0]) == sizeof(struct real_moved));
	expect(core_field_size(o->either) == sizeof(union real_either));
	expect(core_field_size(o->callback) == 8);
	expect(r->grown == 1234);
	expect(r->shrunk == 5678);
	r->shrunk = 8765;
	expect(resized.shrunk == 8765 && resized.grown_signed == -9);
	resized.shrunk = 5678;
	return 0;
}

SEC("syscall")
int field_exists(void *ctx)
{
	struct moved *m = (void *)&moved;
	struct outer *o = (void *)&outer;
	struct no_such_type *n = (void *)&moved;

	expect(core_field_exists(m->x));
	expect(!core_field_exists(m->missing));
	expect(core_field_exists(o->hidden));
	expect(core_field_exists(o->points[4]));
	expect(!core_field_exists(o->points[5]));
	expect(core_field_exists(o->either.half));
	expect(!core_field_exists(o->either.missing));
	expect(!core_field_exists(n->member));
	return 0;
}

SEC("syscall")
int field_signed(void *ctx)
{
	struct resized *r = (void *)&resized;
	struct bits *b = (void *)&bits;

	expect(!core_field_signed(r->grown));
	expect(core_field_signed(r->grown_signed));
	expect(!core_field_signed(b->plain));
	expect(core_field_signed(b->negative));
	expect(core_field_signed(b->half));
	return 0;
}

/* Byte offset, byte size, and both shifts of bit-fields. */
SEC("syscall")
int bitfields(void *ctx)
{
	struct bits *b = (void *)&bits;

	expect(core_bitfield(b, plain) == 0x155);
	expect((s64)core_bitfield(b, negative) == -17);
	expect(core_bitfield(b, wide) == 0x1555555555);
	expect(core_bitfield(b, was_a_bitfield) == 0xfedcba98);
	expect(core_bitfield(b, is_a_bitfield) == 0x5a5);
	expect((s64)core_bitfield(b, half) == -3);
	expect(core_field_rshift(b->plain) == 64 - 9);
	expect(core_field_rshift(b->was_a_bitfield) == 32);
	return 0;
}

SEC("syscall")
int type_ids(void *ctx)
{
	expect(core_type_id_local(struct moved));
	expect(core_type_id_local(struct no_such_type));
	expect(core_type_id_local(struct moved) != core_type_id_local(struct outer));
	expect(core_type_id_target(struct moved));
	expect(core_type_id_target(struct moved) != core_type_id_target(moved_t));
	expect(core_type_id_target(struct no_such_type) == 0);
	return 0;
}

SEC("syscall")
int type_exists(void *ctx)
{
	expect(core_type_exists(struct moved));
	expect(core_type_exists(union either));
	expect(core_type_exists(enum level));
	expect(core_type_exists(moved_t));
	expect(core_type_exists(function_t));
	expect(core_type_exists(struct flavored___old));
	expect(!core_type_exists(struct no_such_type));
	expect(!core_type_exists(no_such_typedef));
	return 0;
}

SEC("syscall")
int type_size(void *ctx)
{
	expect(core_type_size(struct moved) == sizeof(struct real_moved));
	expect(core_type_size(union either) == sizeof(union real_either));
	expect(core_type_size(struct outer) == sizeof(struct real_outer));
	expect(core_type_size(enum level) == 8);
	expect(core_type_size(struct no_such_type) == 0);
	return 0;
}

/* A match: each member of the local type is there, under its name and with its type. */
SEC("syscall")
int type_matches(void *ctx)
{
	expect(core_type_matches(struct flavored___new));
	expect(!core_type_matches(struct flavored___old));
	expect(!core_type_matches(struct moved));
	expect(core_type_matches(function_t));
	expect(!core_type_matches(enum color));
	expect(core_type_matches(enum depth));
	expect(!core_type_matches(struct no_such_type));
	return 0;
}

SEC("syscall")
int enumerator_exists(void *ctx)
{
	expect(core_enum_value_exists(enum color, GREEN));
	expect(!core_enum_value_exists(enum color, NO_SUCH_COLOR));
	expect(core_enum_value_exists(enum level, HIGH));
	expect(!core_enum_value_exists(enum level, NO_SUCH_LEVEL));
	return 0;
}

SEC("syscall")
int enumerator_value(void *ctx)
{
	expect(core_enum_value(enum color, RED) == 10);
	expect(core_enum_value(enum color, GREEN) == 20);
	expect((int)core_enum_value(enum color, BLUE) == -30);
	expect(core_enum_value(enum level, LOW) == 0xfffffffff0);
	expect(core_enum_value(enum level, HIGH) == 0x123456789abcdef0);
	expect((s64)core_enum_value(enum depth, SHALLOW) == -1);
	expect((s64)core_enum_value(enum depth, DEEP) == -0x123456789a);
	return 0;
}

SEC("syscall")
int flavors(void *ctx)
{
	struct flavored___old *old = (void *)&moved;
	struct flavored___new *new = (void *)&moved;

	if (core_field_exists(old->old_name))
		return old->old_name;
	expect(core_field_exists(new->new_name));
	expect(core_field_offset(new->new_name) == 4);
	return 0;
}

/* What is guarded may be missing: the poisoned instructions are never reached. */
SEC("syscall")
int guarded(void *ctx)
{
	struct moved *m = (void *)&moved;
	struct outer *o = (void *)&outer;

	if (core_field_exists(m->missing))
		return m->missing;
	if (core_field_exists(o->points[7]))
		o->points[7].x = 1;
	if (core_enum_value_exists(enum level, NO_SUCH_LEVEL))
		return core_enum_value(enum level, NO_SUCH_LEVEL) != 0;
	return 0;
}

/* Two types in the target are named twin; the first access leaves one of them for all that follow. */
SEC("syscall")
int one_of_two_candidates(void *ctx)
{
	struct twin *twin = (void *)&outer;

	expect(core_field_offset(twin->only_here) == 12);
	expect(core_field_offset(twin->elsewhere) == 8);
	return 0;
}

SEC("?syscall")
int missing_field(void *ctx)
{
	struct moved *m = (void *)&moved;

	return m->missing;
}

SEC("?syscall")
int missing_element(void *ctx)
{
	struct outer *o = (void *)&outer;

	o->points[7].x = 1;
	return 0;
}

SEC("?syscall")
int missing_enumerator(void *ctx)
{
	return core_enum_value(enum level, NO_SUCH_LEVEL) != 0;
}

SEC("?syscall")
int missing_type(void *ctx)
{
	struct no_such_type *n = (void *)&moved;

	return n->member;
}

/* Sign extension cannot be patched in, so an access of a signed integer must not change its size. */
SEC("?syscall")
int resized_signed(void *ctx)
{
	struct resized *r = (void *)&resized;

	return r->grown_signed == -9;
}
