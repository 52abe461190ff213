/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every kind of BTF type that a compiler writes into an object: all 19. Expected: kept through parsing and writing,
 * printed as C that compiles, loaded by Linux 6.2 and newer; the program returns 0.
 */
#include "core.h"
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define tag(name) __attribute__((btf_decl_tag(name)))
#define type_tag(name) __attribute__((btf_type_tag(name)))

struct only_declared;
union also_declared;
enum never_declared_in_full;

typedef int integer;
typedef integer renamed_again;
typedef struct recursive recursive_t;
typedef int (*callback_t)(recursive_t *self, const char *name, ...);
typedef float real;

enum small {
	SMALL_NEGATIVE = -1,
	SMALL_ZERO,
};

enum large {
	LARGE = 1ull << 63,
};

enum {
	WITHOUT_A_NAME = 3,
};

union mixed {
	u64 whole;
	struct {
		u32 low;
		u32 high;
	};
	u8 bytes[8];
};

struct recursive {
	recursive_t *next;
	struct only_declared *opaque;
	union also_declared *also_opaque;
	callback_t callback;
	int (*table[3])(int);
	const volatile char *const name;
	int *restrict restricted;
	u32 type_tag("user") * tagged_pointer;
	renamed_again tagged_member tag("on a member");
	real number;
	double wide_number;
	bool flag;
	char text[4][8];
	union mixed mixed;
	u32 first : 3;
	u32 : 5;
	s64 second : 40;
	enum small small;
	enum large large;
	struct {
	} empty;
	char rest[];
} tag("on a struct");

struct packed {
	u8 one;
	u64 unaligned;
} __attribute__((packed));

struct aligned {
	u8 one;
	u64 two __attribute__((aligned(32)));
};

struct recursive global_recursive;
struct packed global_packed = {1, 2};
struct aligned global_aligned;
static volatile int local_number tag("on a variable");

__noinline int tagged(int argument tag("on an argument"), renamed_again other) tag("on a function")
{
	local_number += argument;
	return local_number + other;
}

SEC("syscall")
int use_types(void *ctx)
{
	const struct recursive *recursive = &global_recursive;

	expect(tagged(1, 2) >= 3);
	expect(!recursive->next && !recursive->callback);
	expect(global_packed.unaligned == 2 && !global_aligned.two);
	return WITHOUT_A_NAME - 3;
}
