/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kernel functions: declared with their C prototype, found by name in the kernel's BTF. Weak, a missing one leaves
 * the object loadable and its address null.
 */
#pragma once

#include "core.h"
#include "program.h"

/* The same object seen as another kernel type; the result may only be read. Linux 6.2. */
extern void *bpf_rdonly_cast(const void *object, u32 btf_id) __ksym __weak;
#define core_cast(object, type) ((typeof(type) *)bpf_rdonly_cast(object, core_type_id_target(type)))

/*
 * for_each(kind, element, arguments...) walks one of the kernel's open-coded iterators: the three kfuncs
 * bpf_iter_<kind>_new, _next and _destroy, whose state is a struct bpf_iter_<kind>. The state is destroyed however
 * the loop is left, which the verifier insists on. Linux 6.4.
 *
 *	for_each(mptcp_subflow, subflow, sk)
 *		...
 */
#define for_each(kind, element, ...)                                                               \
	for (struct bpf_iter_##kind element##_state                                                \
		     __attribute__((aligned(8), cleanup(bpf_iter_##kind##_destroy))),              \
	     *element##_once = (bpf_iter_##kind##_new(&element##_state, __VA_ARGS__),              \
				&element##_state);                                                 \
	     element##_once; element##_once = NULL)                                                \
		for (typeof(bpf_iter_##kind##_next(0)) element;                                    \
		     (element = bpf_iter_##kind##_next(&element##_state));)
