/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs at functions and USDT probes of user space. Expected: they load where the kernel has the links that they are
 * for (Linux 6.6; sessions 6.13).
 */
#include "usdt.h"
#include "watch.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

WATCH(entry, "uprobe")
WATCH(exit_, "uretprobe")
WATCH(library, "uprobe/libc.so.6:getpgid")
WATCH(multi, "uprobe.multi")
WATCH(session, "uprobe.session")

u64 hits_probe;
u64 cookie_probe;
int count_probe;
s64 arguments[12];

SEC("usdt")
int probe(void *ctx)
{
	if (watched()) {
		count_probe = usdt_arguments(ctx);
		cookie_probe = usdt_cookie(ctx);
		for (u32 i = 0; i < 12; i++) {
			s64 value = -1;

			usdt_argument(ctx, i, &value);
			arguments[i] = value;
		}
		__sync_fetch_and_add(&hits_probe, 1);
	}
	return 0;
}
