/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rawbpf_test

#if !defined(_RAWBPF_TEST_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RAWBPF_TEST_TRACE_H

#include <linux/tracepoint.h>
#include "rawbpf_test.h"

TRACE_EVENT(rawbpf_test_ran,
	TP_PROTO(const struct rawbpf_test_event *event, int result),
	TP_ARGS(event, result),
	TP_STRUCT__entry(
		__field(u64, value)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->value = event->value;
		__entry->result = result;
	),
	TP_printk("value=%llu result=%d", __entry->value, __entry->result)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE rawbpf_test_trace
#include <trace/define_trace.h>
