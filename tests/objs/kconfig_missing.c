/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A kernel option that no kernel has, and that is not weak. Expected: not loaded, the option is named. */
#include "core.h"
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern int CONFIG_RAWBPF_NO_SUCH_OPTION __kconfig;

SEC("syscall")
int read_option(void *ctx)
{
	return CONFIG_RAWBPF_NO_SUCH_OPTION;
}
