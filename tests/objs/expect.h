/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For programs that a test runs with BPF_PROG_TEST_RUN: they return 0, or the line of the first claim that is false. */
#pragma once

#define expect(claim)                    \
	do {                             \
		if (!(claim))            \
			return __LINE__; \
	} while (0)
