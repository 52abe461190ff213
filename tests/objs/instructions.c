/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Instructions that ordinary programs seldom have, those of the newest instruction set among them. Expected: loaded
 * by Linux 6.6 and newer, each program returns 0; disassembled in full.
 *
 * clang: -mcpu=v4
 */
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Keeps the compiler from working a value out beforehand, or from comparing something simpler. */
#define opaque(value)                           \
	({                                      \
		typeof(value) kept = (value);   \
		asm volatile("" : "+r"(kept)); \
		kept;                           \
	})

s8 negative_byte = -100;
s16 negative_short = -1000;
s32 negative_int = -100000;
s64 negative_long = -10000000000;
u64 counter = 8;
u32 small_counter = 8;
u64 pattern = 0x0102030405060708;

SEC("syscall")
int sign_extension(void *ctx)
{
	s64 wide = opaque(negative_long);

	expect(opaque((s64)negative_byte) == -100);
	expect(opaque((s64)negative_short) == -1000);
	expect(opaque((s64)negative_int) == -100000);
	expect(opaque((s64)(s8)wide) == (s8)-10000000000);
	expect(opaque((s64)(s16)wide) == (s16)-10000000000);
	expect(opaque((s64)(s32)wide) == (s32)-10000000000);
	expect(opaque((s32)(s8)wide) == (s8)-10000000000);
	return 0;
}

SEC("syscall")
int division(void *ctx)
{
	expect(opaque(negative_long / 3) == -3333333333);
	expect(opaque(negative_long % 3) == -1);
	expect(opaque(negative_int / 7) == -14285);
	expect(opaque(negative_int % 7) == -5);
	expect(opaque(pattern / 10) == 0x0102030405060708 / 10);
	expect(opaque(pattern % 10) == 0x0102030405060708 % 10);
	return 0;
}

/* To the other order, whatever the own one is; and to a named order, which the own one may be already. */
SEC("syscall")
int byte_swaps(void *ctx)
{
	u64 big = pattern, little = pattern;

	expect(opaque(__builtin_bswap64(pattern)) == 0x0807060504030201);
	expect(opaque(__builtin_bswap32((u32)pattern)) == 0x08070605);
	expect(opaque(__builtin_bswap16((u16)pattern)) == 0x0807);
	asm volatile("%[big] = be64 %[big]\n"
		     "%[little] = le64 %[little]"
		     : [big] "+r"(big), [little] "+r"(little));
	expect(big != little);
	return 0;
}

SEC("syscall")
int atomics(void *ctx)
{
	__sync_fetch_and_add(&counter, 1);
	expect(__sync_fetch_and_add(&counter, 2) == 9);
	expect(__sync_fetch_and_or(&counter, 16) == 11);
	expect(__sync_fetch_and_and(&counter, ~1ull) == 27);
	expect(__sync_fetch_and_xor(&counter, 2) == 26);
	expect(__sync_lock_test_and_set(&counter, 5) == 24);
	expect(__sync_val_compare_and_swap(&counter, 5, 8) == 5);
	expect(__sync_fetch_and_add(&small_counter, 1) == 8);
	expect(__sync_val_compare_and_swap(&small_counter, 9, 8) == 9);
	expect(counter == 8 && small_counter == 8);
	return 0;
}

/* Conditions of both widths, signed and unsigned, and against a register. */
SEC("syscall")
int jumps(void *ctx)
{
	u64 wide = pattern;
	u32 narrow = small_counter;

	expect(wide > counter && wide >= counter && !(wide < counter) && !(wide <= counter));
	expect(negative_long < (s64)counter && negative_long <= -1 && !(negative_long > 5) && !(negative_long >= 0));
	expect(narrow > 7 && narrow < 9 && negative_int < 0 && negative_int > -100001);
	expect((wide & 8) && !(narrow & 7));
	return 0;
}

/* An offset that 16 bits do not hold. */
SEC("syscall")
int long_jump(void *ctx)
{
	u64 result = counter;

	asm volatile("if %[result] != 8 goto 1f\n"
		     "gotol 2f\n"
		     "1: %[result] = 0\n"
		     "2:"
		     : [result] "+r"(result));
	return result == 8 ? 0 : __LINE__;
}
