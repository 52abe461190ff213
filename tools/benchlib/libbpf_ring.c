// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads a ring buffer with libbpf, for tools/bench: fills it by running a program, and takes the CPU time of emptying it.
 * Needs no header of libbpf, whose functions have kept their form since 1.0. Prints records and seconds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NO_WAKEUP 1
#define RECORD 24 /* bytes in the ring: a header and an event */

struct bpf_object;
struct bpf_map;
struct bpf_program;
struct ring_buffer;

struct test_run { /* bpf_test_run_opts */
	size_t size;
	const void *data_in;
	void *data_out;
	uint32_t data_size_in, data_size_out;
	const void *ctx_in;
	void *ctx_out;
	uint32_t ctx_size_in, ctx_size_out;
	uint32_t retval;
	int repeat;
	uint32_t duration, flags, cpu, batch_size;
};

struct bpf_object *bpf_object__open(const char *path);
int bpf_object__load(struct bpf_object *obj);
struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *obj, const char *name);
int bpf_map__set_max_entries(struct bpf_map *map, uint32_t max_entries);
int bpf_map__fd(const struct bpf_map *map);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *obj, const char *name);
int bpf_program__fd(const struct bpf_program *prog);
int bpf_prog_test_run_opts(int prog_fd, struct test_run *opts);
struct ring_buffer *ring_buffer__new(int fd, int (*callback)(void *, void *, size_t), void *ctx, const void *opts);
int ring_buffer__consume(struct ring_buffer *rb);

static uint64_t count, sum;

static int counted(void *ctx, void *data, size_t size)
{
	count++;
	return 0;
}

static int summed(void *ctx, void *data, size_t size)
{
	uint64_t sequence;

	memcpy(&sequence, data, sizeof(sequence));
	sum += sequence;
	count++;
	return 0;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t arguments[2] = { 0, NO_WAKEUP }, total, size;
	struct test_run run = { .size = sizeof(run), .ctx_in = arguments, .ctx_size_in = sizeof(arguments) };
	struct bpf_object *obj;
	struct bpf_map *map;
	struct ring_buffer *ring;
	double start, seconds = 0;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: %s OBJ RING_SIZE RECORDS counted|summed\n", argv[0]);
		return 2;
	}
	size = strtoull(argv[2], NULL, 10);
	total = strtoull(argv[3], NULL, 10);
	obj = bpf_object__open(argv[1]);
	if (!obj)
		return 1;
	map = bpf_object__find_map_by_name(obj, "ring");
	if (!map || bpf_map__set_max_entries(map, size) || bpf_object__load(obj))
		return 1;
	ring = ring_buffer__new(bpf_map__fd(map), strcmp(argv[4], "summed") ? counted : summed, NULL, NULL);
	fd = bpf_program__fd(bpf_object__find_program_by_name(obj, "emit"));
	if (!ring || fd < 0)
		return 1;
	arguments[0] = size / RECORD;
	while (count < total) {
		if (bpf_prog_test_run_opts(fd, &run) || run.retval)
			return 1;
		start = now();
		if (ring_buffer__consume(ring) < 0)
			return 1;
		seconds += now() - start;
	}
	printf("%llu %.9f %llu\n", (unsigned long long)count, seconds, (unsigned long long)sum);
	return 0;
}
