/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One trivial program for each SEC() name that stands for a function, a hook or a struct_ops member, and for those
 * that only the newest kernels have. Expected: nothing is loaded unasked, because of the "?"; asked for, a program
 * needs the BTF id of its target, which the kernel's BTF gives by the name after the slash (btf_trace_ + name for
 * tp_btf, bpf_lsm_ + name for lsm, bpf_iter_ + name for iter, the name itself for the rest).
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A program's name must not be that of a section. */
#define PROGRAM(name, section)            \
	SEC(section) int do_##name(u64 *slots) \
	{                                 \
		return 0;                 \
	}

PROGRAM(tp_btf, "?tp_btf/sys_enter")
PROGRAM(tp_btf_bare, "?tp_btf")
PROGRAM(fentry, "?fentry/do_nanosleep")
PROGRAM(fmod_ret, "?fmod_ret/update_socket_protocol")
PROGRAM(fexit, "?fexit/do_nanosleep")
PROGRAM(fexit_module_function, "?fexit/vmlinux:do_nanosleep")
PROGRAM(fentry_sleepable, "?fentry.s/__x64_sys_nanosleep")
PROGRAM(fmod_ret_sleepable, "?fmod_ret.s/update_socket_protocol")
PROGRAM(fexit_sleepable, "?fexit.s/__x64_sys_nanosleep")
PROGRAM(lsm, "?lsm/file_open")
PROGRAM(lsm_sleepable, "?lsm.s/file_open")
PROGRAM(lsm_cgroup, "?lsm_cgroup/socket_bind")
PROGRAM(iter, "?iter/task")
PROGRAM(iter_sleepable, "?iter.s/task")
PROGRAM(freplace, "?freplace/replaced_function")
PROGRAM(struct_ops, "?struct_ops/member")
PROGRAM(struct_ops_bare, "?struct_ops")
PROGRAM(struct_ops_sleepable, "?struct_ops.s/member")

/* One program at a function's entry and exit. */
PROGRAM(fsession, "?fsession/do_nanosleep")
PROGRAM(fsession_sleepable, "?fsession.s/__x64_sys_nanosleep")

/* Sleepable tracepoints, and one program for many functions. */
PROGRAM(tracepoint_sleepable, "?tracepoint.s/syscalls/sys_enter_nanosleep")
PROGRAM(tp_sleepable, "?tp.s/syscalls/sys_enter_nanosleep")
PROGRAM(raw_tracepoint_sleepable, "?raw_tracepoint.s/sys_enter")
PROGRAM(raw_tp_sleepable, "?raw_tp.s/sys_enter")
PROGRAM(tp_btf_sleepable, "?tp_btf.s/sys_enter")
PROGRAM(fentry_multi, "?fentry.multi/tcp_*")
PROGRAM(fexit_multi, "?fexit.multi/tcp_*")
PROGRAM(fsession_multi, "?fsession.multi/tcp_*")
PROGRAM(fentry_multi_sleepable, "?fentry.multi.s/__x64_sys_*")
PROGRAM(fexit_multi_sleepable, "?fexit.multi.s/__x64_sys_*")
PROGRAM(fsession_multi_sleepable, "?fsession.multi.s/__x64_sys_*")
