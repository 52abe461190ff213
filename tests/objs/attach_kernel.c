/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program for each way to attach inside the kernel; each counts what one process does. Expected: all load on a kernel
 * with kprobes, ftrace and the BPF LSM (the test kernel), and see clock_nanosleep, a new socket, or an open.
 */
#include "watch.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

WATCH(entry, "kprobe/do_nanosleep")
WATCH(exit_, "kretprobe/do_nanosleep")
WATCH(anywhere, "kprobe")
WATCH(call, "ksyscall/clock_nanosleep")
WATCH(call_return, "kretsyscall/clock_nanosleep")
WATCH(multi, "kprobe.multi/do_nanosle*")
WATCH(multi_return, "kretprobe.multi/do_nanosleep")
WATCH(session, "kprobe.session/do_nanosleep")
WATCH(event, "tp/syscalls/sys_enter_clock_nanosleep")
WATCH(clock, "perf_event")

/* The contexts of these hold the arguments, in 64-bit slots. */
#define WATCH_SLOTS(name, section)                                 \
	u64 hits_##name;                                           \
	u64 cookie_##name;                                         \
	SEC(section) int name(u64 *slots)                          \
	{                                                          \
		if (watched()) {                                   \
			__sync_fetch_and_add(&hits_##name, 1);     \
			cookie_##name = bpf_get_attach_cookie(slots); \
		}                                                  \
		return 0;                                          \
	}

WATCH_SLOTS(raw, "raw_tp/sys_enter")
WATCH_SLOTS(typed, "tp_btf/sys_enter")
WATCH_SLOTS(fentry, "fentry/do_nanosleep")
WATCH_SLOTS(fexit, "fexit/do_nanosleep")
WATCH_SLOTS(modify, "fmod_ret/update_socket_protocol")
WATCH_SLOTS(fsession, "fsession/do_nanosleep")
WATCH_SLOTS(hook, "lsm/file_open")

/* Only the newest kernels (7.2) load it. */
WATCH_SLOTS(fentry_many, "?fentry.multi/do_nanosle*")

/* A program that another one is put in the place of a function of. */
__noinline int replaced(u64 number)
{
	return number > 100 ? 1 : 2;
}

SEC("syscall")
int calls(void *ctx)
{
	return replaced(bpf_get_current_pid_tgid());
}
