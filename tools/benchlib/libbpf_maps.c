// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a C program reaches with libbpf on the elements of a hash map, one at a time and in batches. For tools/bench:
 * prints nanoseconds of CPU an element as JSON. Needs no header of libbpf, whose functions have kept their form since 1.0.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HASH 1 /* BPF_MAP_TYPE_HASH */

int bpf_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t max_entries, void *);
int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_update_batch(int fd, const void *keys, const void *values, uint32_t *count, const void *opts);
int bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values, uint32_t *count, const void *opts);
int bpf_map_delete_batch(int fd, const void *keys, uint32_t *count, const void *opts);

static double begun;
static int told_any;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return 1e9 * time.tv_sec + time.tv_nsec;
}

static void told(const char *name, uint32_t count, int failed)
{
	double spent = now() - begun;

	if (failed) {
		perror(name);
		exit(1);
	}
	printf("%s\"%s\": %f", told_any++ ? ", " : "{", name, spent / count);
	begun = now();
}

int main(int argc, char **argv)
{
	uint32_t count = argc > 1 ? atoi(argv[1]) : 1, done = count, i, cursor;
	uint32_t *keys = calloc(count, sizeof(*keys)), *found = calloc(count, sizeof(*found));
	uint64_t *values = calloc(count, sizeof(*values));
	int fd = bpf_map_create(HASH, "bench", sizeof(*keys), sizeof(*values), count, NULL), failed = fd < 0;

	begun = now();
	for (i = 0; i < count; i++) {
		uint64_t value = i;

		failed |= bpf_map_update_elem(fd, &i, &value, 0);
	}
	told("update", count, failed);
	for (i = 0; i < count; i++)
		failed |= bpf_map_lookup_elem(fd, &i, &values[0]);
	told("lookup", count, failed);
	for (i = 0; i < count; i++) {
		keys[i] = i;
		values[i] = 2 * i;
	}
	failed |= bpf_map_update_batch(fd, keys, values, &done, NULL);
	told("update, batch", count, failed);
	done = count;
	bpf_map_lookup_batch(fd, NULL, &cursor, found, values, &done, NULL); /* the end is ENOENT */
	told("lookup, batch", count, done != count);
	failed |= bpf_map_delete_batch(fd, keys, &done, NULL);
	told("delete, batch", count, failed);
	printf("}\n");
	return 0;
}
