/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What programs and user space talk through: a ring buffer, a perf buffer, a user ring buffer. The raw tracepoint
 * programs are run by hand, on a CPU that the test chooses, and take their arguments from it. Expected: each returns 0.
 * Linux 6.1.
 */
#include "program.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CPUS 64
#define LARGEST 1024

enum kind {
	FIRST,
	NEXT,
};

/* A record: the number of it on its CPU, without gaps. */
struct event {
	u64 sequence;
	u32 cpu;
	enum kind kind;
};

/* What user space sends. */
struct request {
	u32 add;
	u32 times;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096 * 64);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} other SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} perf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} requests SEC(".maps");

u64 sequences[CPUS];
u64 refused[CPUS];
u64 total;
struct event *event_type; /* clang writes BTF only of what a variable or an argument has */
struct request last;
char payload[LARGEST];

struct emission {
	u64 *slots;
	u32 cpu;
};

static long emit_one(u32 index, struct emission *emission)
{
	u32 cpu = emission->cpu & (CPUS - 1);
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

	if (!event) {
		refused[cpu] += 1;
		return 0;
	}
	event->sequence = sequences[cpu]++;
	event->cpu = cpu;
	event->kind = index ? NEXT : FIRST;
	bpf_ringbuf_submit(event, emission->slots[1]);
	return 0;
}

/* Arguments: how many records, flags of the submission. */
SEC("raw_tp")
int emit(u64 *slots)
{
	struct emission emission = { .slots = slots, .cpu = bpf_get_smp_processor_id() };

	return bpf_loop(slots[0], emit_one, &emission, 0) != (long)slots[0];
}

/* Arguments: bytes of the record. Its bytes are those of `payload`. */
SEC("raw_tp")
int emit_sized(u64 *slots)
{
	u64 size = slots[0];

	return size > LARGEST || bpf_ringbuf_output(&ring, payload, size, 0) ? 1 : 0;
}

/* Records that are given up, of the size of an event. Arguments: how many. */
static long discard_one(u32 index, void *context)
{
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

	if (!event)
		return 1;
	bpf_ringbuf_discard(event, 0);
	return 0;
}

SEC("raw_tp")
int discard(u64 *slots)
{
	return bpf_loop(slots[0], discard_one, NULL, 0) != (long)slots[0];
}

SEC("raw_tp")
int emit_other(u64 *slots)
{
	u64 number = slots[0];

	return bpf_ringbuf_output(&other, &number, sizeof(number), 0) ? 1 : 0;
}

static long perf_one(u32 index, struct emission *emission)
{
	u32 cpu = emission->cpu & (CPUS - 1);
	struct event event = { .cpu = cpu, .kind = index ? NEXT : FIRST };

	event.sequence = sequences[cpu]++;
	if (bpf_perf_event_output(emission->slots, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event)))
		refused[cpu] += 1;
	return 0;
}

/* Arguments: how many records. */
SEC("raw_tp")
int emit_perf(u64 *slots)
{
	struct emission emission = { .slots = slots, .cpu = bpf_get_smp_processor_id() };

	return bpf_loop(slots[0], perf_one, &emission, 0) != (long)slots[0];
}

static long take_request(void *dynptr, u64 *count)
{
	struct request request;

	*count += 1;
	if (bpf_dynptr_read(&request, sizeof(request), dynptr, 0, 0))
		return 0;
	total += (u64)request.add * request.times;
	last = request;
	return 0;
}

/* Returns how many requests there were. */
SEC("syscall")
int drain(void *context)
{
	u64 count = 0;

	bpf_user_ringbuf_drain(&requests, take_request, &count, 0);
	return count;
}
