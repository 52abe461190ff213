/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Externs of the kernel's configuration, in every type that they may have. Expected: the map .kconfig holds what the
 * kernel's configuration says; the weak ones that it does not know are 0. "copy" stores them where a test can read
 * them, and returns 0.
 */
#include "core.h"
#include "expect.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Loaders know the type by this name and these values. */
enum libbpf_tristate {
	TRI_NO = 0,
	TRI_YES = 1,
	TRI_MODULE = 2,
};

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_MPTCP __kconfig __weak;
extern enum libbpf_tristate CONFIG_TCP_CONG_CUBIC __kconfig __weak;
extern int CONFIG_HZ __kconfig;
extern unsigned long CONFIG_NR_CPUS __kconfig __weak;
extern char CONFIG_DEFAULT_TCP_CONG[16] __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[3] __kconfig __weak; /* too short on purpose: what fits, and a zero */
extern char CONFIG_BPF_JIT __kconfig __weak;	     /* a char holds 'y', 'n' or 'm' */

extern bool CONFIG_RAWBPF_NO_SUCH_BOOL __kconfig __weak;
extern u64 CONFIG_RAWBPF_NO_SUCH_NUMBER __kconfig __weak;
extern char CONFIG_RAWBPF_NO_SUCH_STRING[8] __kconfig __weak;

int kernel_version;
bool has_syscall_wrapper;
enum libbpf_tristate mptcp;
enum libbpf_tristate cubic;
int hz;
u64 nr_cpus;
char tcp_cong[16];
char hostname[3];
char bpf_jit;

SEC("syscall")
int copy(void *ctx)
{
	kernel_version = LINUX_KERNEL_VERSION;
	has_syscall_wrapper = LINUX_HAS_SYSCALL_WRAPPER;
	mptcp = CONFIG_MPTCP;
	cubic = CONFIG_TCP_CONG_CUBIC;
	hz = CONFIG_HZ;
	nr_cpus = CONFIG_NR_CPUS;
	for (u32 i = 0; i < sizeof(tcp_cong); i++)
		tcp_cong[i] = CONFIG_DEFAULT_TCP_CONG[i];
	for (u32 i = 0; i < sizeof(hostname); i++)
		hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
	bpf_jit = CONFIG_BPF_JIT;

	expect(CONFIG_BPF_SYSCALL);
	expect(!CONFIG_RAWBPF_NO_SUCH_BOOL);
	expect(!CONFIG_RAWBPF_NO_SUCH_NUMBER);
	expect(!CONFIG_RAWBPF_NO_SUCH_STRING[0]);
	return 0;
}
