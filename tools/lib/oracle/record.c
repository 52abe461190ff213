// SPDX-License-Identifier: BSD-2-Clause
/*
 * An LD_PRELOAD shim that writes down every bpf(2) call of a process, one JSON object a line, into the file that
 * RAWBPF_RECORD names. Loaders reach bpf(2) through libc's syscall(), so that is the function interposed here; all other
 * system calls pass through untouched.
 *
 * A line holds what the kernel was given (the attribute and what its pointers lead to) and what it answered. A file
 * descriptor means nothing outside its process, so each one that a call mentions is written with the kernel's kind and
 * id of the object behind it, looked up before the call. Everything is read before the call, and through
 * /proc/self/mem, so that a bad pointer remains the kernel's business.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_ATTR 4096	/* bytes; the kernel takes at most a page */
#define MAX_STRING 4096 /* bytes, licence or path */
#define MAX_FD 65536	/* larger numbers in a map's value are not taken for descriptors */

/* Commands and map types of linux/bpf.h, by number: the installed header may be older than the kernel. */
enum {
	MAP_CREATE = 0,
	MAP_LOOKUP_ELEM = 1,
	MAP_UPDATE_ELEM = 2,
	MAP_DELETE_ELEM = 3,
	PROG_LOAD = 5,
	OBJ_PIN = 6,
	OBJ_GET = 7,
	PROG_ATTACH = 8,
	PROG_DETACH = 9,
	OBJ_GET_INFO_BY_FD = 15,
	RAW_TRACEPOINT_OPEN = 17,
	BTF_LOAD = 18,
	MAP_FREEZE = 22,
	MAP_UPDATE_BATCH = 26,
	LINK_CREATE = 28,
	LINK_UPDATE = 29,
	LINK_DETACH = 34,
	PROG_BIND_MAP = 35,
	COMMAND_MASK = 0xffff, /* above it are flags, such as the one that announces a second attribute */
};
enum { PERCPU_HASH = 5, PERCPU_ARRAY = 6, LRU_PERCPU_HASH = 10, PERCPU_CGROUP_STORAGE = 21 };
enum {
	LD_IMM64 = 0x18,
	CALL = 0x85,
	PSEUDO_MAP_FD = 1,
	PSEUDO_MAP_VALUE = 2,
	PSEUDO_KFUNC_CALL = 2,
	PSEUDO_BTF_ID = 3,
	PSEUDO_MAP_IDX = 5,
	PSEUDO_MAP_IDX_VALUE = 6,
};
enum { F_CPU = 8, F_ALL_CPUS = 16 }; /* update flags: one value although the map is per CPU */

/* A pointer in the attribute: where it is, and its length as two u32 fields or a constant; 0 stands for a string. */
static const struct pointer {
	int command, offset, count_at, size_at, size;
	const char *name;
} pointers[] = {
	{ MAP_CREATE, 80, 88, 0, 1, "excl_prog_hash" },
	{ PROG_LOAD, 8, 4, 0, 8, "insns" },
	{ PROG_LOAD, 16, 0, 0, 0, "license" },
	{ PROG_LOAD, 80, 88, 76, 0, "func_info" },
	{ PROG_LOAD, 96, 104, 92, 0, "line_info" },
	{ PROG_LOAD, 128, 116, 136, 0, "core_relos" },
	{ PROG_LOAD, 152, 160, 0, 1, "signature" },
	{ OBJ_PIN, 0, 0, 0, 0, "pathname" },
	{ OBJ_GET, 0, 0, 0, 0, "pathname" },
	{ RAW_TRACEPOINT_OPEN, 0, 0, 0, 0, "name" },
	{ BTF_LOAD, 0, 16, 0, 1, "btf" },
};

/* The fields that hold a descriptor. */
static const struct {
	int command, offset;
} descriptors[] = {
	{ MAP_CREATE, 20 },	 { MAP_CREATE, 48 },  { MAP_CREATE, 72 },     { MAP_CREATE, 76 },  { MAP_LOOKUP_ELEM, 0 },
	{ MAP_UPDATE_ELEM, 0 },	 { MAP_FREEZE, 0 },   { MAP_DELETE_ELEM, 0 }, { PROG_LOAD, 72 },   { PROG_LOAD, 112 },
	{ PROG_LOAD, 144 },	 { OBJ_PIN, 8 },      { PROG_ATTACH, 0 },     { PROG_ATTACH, 4 },  { PROG_ATTACH, 16 },
	{ PROG_DETACH, 0 },	 { PROG_DETACH, 4 },  { LINK_CREATE, 0 },     { LINK_CREATE, 4 },  { RAW_TRACEPOINT_OPEN, 8 },
	{ MAP_UPDATE_BATCH, 36 }, { LINK_UPDATE, 0 }, { LINK_UPDATE, 4 },     { LINK_UPDATE, 12 }, { LINK_DETACH, 0 },
	{ PROG_BIND_MAP, 0 },	 { PROG_BIND_MAP, 4 },
};

struct object {
	char kind[24]; /* map, prog, btf, link; empty: not an object of bpf */
	uint32_t id, type, key_size, value_size;
	uint8_t tag[8];
	char name[64]; /* of a map, a program, or the module that a BTF describes */
};

struct line {
	FILE *out;
	bool seen[MAX_FD]; /* descriptors that this line describes already */
	bool any_fd;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void find_syscall(void)
{
	real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
}

/* Not every kernel has process_vm_readv. */
static __thread int own_memory;

static bool read_memory(uint64_t address, void *to, size_t size)
{
	return pread(own_memory, to, size, (off_t)address) == (ssize_t)size;
}

static uint32_t u32_at(const uint8_t *attr, int offset)
{
	uint32_t value;

	memcpy(&value, attr + offset, sizeof(value));
	return value;
}

static uint64_t u64_at(const uint8_t *attr, int offset)
{
	uint64_t value;

	memcpy(&value, attr + offset, sizeof(value));
	return value;
}

static void put_hex(FILE *out, const void *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < size; i++) {
		putc(digits[byte[i] >> 4], out);
		putc(digits[byte[i] & 15], out);
	}
}

static void put_blob(FILE *out, const char *name, const void *bytes, size_t size)
{
	fprintf(out, ",\"%s\":\"", name);
	put_hex(out, bytes, size);
	putc('"', out);
}

/* Copies what a pointer leads to and writes it; the copy is the caller's to free, NULL if there is nothing to read. */
static uint8_t *put_pointed(FILE *out, const char *name, uint64_t address, size_t size)
{
	uint8_t *copy;

	if (!address || !size)
		return NULL;
	copy = malloc(size);
	if (!copy || !read_memory(address, copy, size)) {
		free(copy);
		fprintf(out, ",\"%s\":null", name);
		return NULL;
	}
	put_blob(out, name, copy, size);
	return copy;
}

static void put_string(FILE *out, const char *name, uint64_t address)
{
	char text[MAX_STRING];
	size_t length = 0;

	if (!address)
		return;
	while (length < sizeof(text) && read_memory(address + length, text + length, 1) && text[length])
		length++;
	put_blob(out, name, text, length);
}

static struct object look_up(int fd)
{
	struct object object = { 0 };
	uint64_t info[32] = { 0 }, attr[2] = { 0 };
	uint8_t *bytes = (uint8_t *)info;
	char path[64], target[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return object;
	target[length] = 0;
	if (!strcmp(target, "anon_inode:bpf-map"))
		strcpy(object.kind, "map");
	else if (!strcmp(target, "anon_inode:bpf-prog"))
		strcpy(object.kind, "prog");
	else if (!strcmp(target, "anon_inode:btf"))
		strcpy(object.kind, "btf");
	else if (!strncmp(target, "anon_inode:bpf_link", 19) || !strncmp(target, "anon_inode:bpf-link", 19))
		strcpy(object.kind, "link");
	else
		return object;

	/* struct bpf_btf_info takes a buffer for the name at 16, of the length at 24 */
	if (!strcmp(object.kind, "btf")) {
		info[2] = (uintptr_t)object.name;
		info[3] = sizeof(object.name);
	}
	attr[0] = (uint32_t)fd | (uint64_t)sizeof(info) << 32;
	attr[1] = (uintptr_t)info;
	if (real_syscall(SYS_bpf, OBJ_GET_INFO_BY_FD, attr, sizeof(attr)) < 0)
		return object;
	object.id = u32_at(bytes, !strcmp(object.kind, "btf") ? 12 : 4);
	object.type = u32_at(bytes, 0);
	if (!strcmp(object.kind, "map")) {
		object.key_size = u32_at(bytes, 8);
		object.value_size = u32_at(bytes, 12);
		memcpy(object.name, bytes + 24, 16);
	} else if (!strcmp(object.kind, "prog")) {
		memcpy(object.tag, bytes + 8, sizeof(object.tag));
		memcpy(object.name, bytes + 64, 16);
	}
	return object;
}

static void put_object(FILE *out, const struct object *object)
{
	fprintf(out, "{\"kind\":\"%s\",\"id\":%u", object->kind, object->id);
	put_blob(out, "name", object->name, strlen(object->name));
	if (!strcmp(object->kind, "prog"))
		put_blob(out, "tag", object->tag, sizeof(object->tag));
	putc('}', out);
}

static void put_fd(struct line *line, uint64_t fd)
{
	struct object object;

	if (!fd || fd >= MAX_FD || line->seen[fd])
		return;
	line->seen[fd] = true;
	object = look_up((int)fd);
	if (!object.kind[0])
		return;
	fprintf(line->out, "%s\"%u\":", line->any_fd ? "," : "", (unsigned int)fd);
	put_object(line->out, &object);
	line->any_fd = true;
}

/*
 * Describes the descriptors that instructions hold; returns how many entries of fd_array they use. The array's length
 * is in the attribute only if the loader wants each of its maps bound to the program.
 */
static uint32_t put_insn_fds(struct line *line, const uint8_t *attr)
{
	uint32_t count = u32_at(attr, 4), used = u32_at(attr, 148);
	uint8_t insn[16];

	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = 0;

		memset(insn, 0, sizeof(insn));
		if (!read_memory(u64_at(attr, 8) + 8ULL * i, insn, i + 1 < count ? 16 : 8))
			break;
		if (insn[0] == LD_IMM64) {
			switch (insn[1] >> 4) {
			case PSEUDO_MAP_FD:
			case PSEUDO_MAP_VALUE:
				put_fd(line, u32_at(insn, 4));
				break;
			case PSEUDO_BTF_ID: /* the second half has the BTF of a module */
				put_fd(line, u32_at(insn, 12));
				break;
			case PSEUDO_MAP_IDX:
			case PSEUDO_MAP_IDX_VALUE:
				index = u32_at(insn, 4) + 1;
				break;
			}
			i++;
		} else if (insn[0] == CALL && insn[1] >> 4 == PSEUDO_KFUNC_CALL && (insn[2] || insn[3])) {
			index = insn[2] + 256U * insn[3] + 1;
		}
		if (index > used && index < MAX_FD)
			used = index;
	}
	return used;
}

static void put_fd_array(struct line *line, uint64_t address, uint32_t length)
{
	uint32_t fd;

	for (uint32_t i = 0; address && i < length; i++)
		if (read_memory(address + 4ULL * i, &fd, sizeof(fd)))
			put_fd(line, fd);
}

static size_t possible_cpus(void)
{
	unsigned int first, last = 0, count = 0;
	FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
	char separator;

	if (!file)
		return 1;
	while (fscanf(file, "%u", &first) == 1) {
		last = first;
		separator = (char)getc(file);
		if (separator == '-' && fscanf(file, "%u", &last) == 1)
			separator = (char)getc(file);
		count += last - first + 1;
		if (separator != ',')
			break;
	}
	fclose(file);
	return count;
}

static size_t value_size(const struct object *map, uint64_t flags)
{
	switch (map->type) {
	case PERCPU_HASH:
	case PERCPU_ARRAY:
	case LRU_PERCPU_HASH:
	case PERCPU_CGROUP_STORAGE:
		if (!(flags & (F_CPU | F_ALL_CPUS)))
			return (map->value_size + 7) / 8 * 8 * possible_cpus();
	}
	return map->value_size;
}

/* A value's words may be descriptors (map in map, program arrays, struct_ops): which, the reader of the line decides. */
static void put_value_fds(struct line *line, const uint8_t *value, size_t size)
{
	for (size_t at = 0; at + 4 <= size; at += 4)
		put_fd(line, u32_at(value, (int)at));
}

static void put_blobs(struct line *line, int command, const uint8_t *attr, uint8_t **value, size_t *size)
{
	struct object map;
	size_t count = 1;
	bool batch = command == MAP_UPDATE_BATCH;

	fprintf(line->out, ",\"blobs\":{\"\":\"\"");
	for (size_t i = 0; i < COUNT(pointers); i++) {
		const struct pointer *p = &pointers[i];
		size_t length = (size_t)u32_at(attr, p->count_at) * (p->size_at ? u32_at(attr, p->size_at) : (uint32_t)p->size);

		if (p->command != command)
			continue;
		if (!p->count_at)
			put_string(line->out, p->name, u64_at(attr, p->offset));
		else
			free(put_pointed(line->out, p->name, u64_at(attr, p->offset), length));
	}
	if (command == MAP_UPDATE_ELEM || command == MAP_DELETE_ELEM || batch) {
		map = look_up((int)u32_at(attr, batch ? 36 : 0));
		if (batch)
			count = u32_at(attr, 32);
		free(put_pointed(line->out, "key", u64_at(attr, batch ? 16 : 8), map.key_size * count));
		if (command != MAP_DELETE_ELEM) {
			*size = value_size(&map, u64_at(attr, batch ? 40 : 24)) * count;
			*value = put_pointed(line->out, "value", u64_at(attr, batch ? 24 : 16), *size);
		}
	}
	putc('}', line->out);
}

static void put_fds(struct line *line, int command, const uint8_t *attr, const uint8_t *value, size_t size)
{
	uint64_t array = command == PROG_LOAD ? u64_at(attr, 120) : 0;
	uint32_t length = 0;

	fprintf(line->out, ",\"fds\":{");
	for (size_t i = 0; i < COUNT(descriptors); i++)
		if (descriptors[i].command == command)
			put_fd(line, u32_at(attr, descriptors[i].offset));
	if (command == PROG_LOAD)
		length = put_insn_fds(line, attr);
	put_fd_array(line, array, length);
	if (value)
		put_value_fds(line, value, size);
	putc('}', line->out);
	free(put_pointed(line->out, "fd_array", array, 4ULL * length));
}

static void put_answer(FILE *out, int command, long result, int error, uint64_t nanoseconds)
{
	struct object made;

	fprintf(out, ",\"result\":%ld,\"errno\":%d,\"nanoseconds\":%llu", result, result < 0 ? error : 0,
		(unsigned long long)nanoseconds);
	if (result > 0 && (command == MAP_CREATE || command == PROG_LOAD || command == BTF_LOAD ||
			   command == LINK_CREATE || command == RAW_TRACEPOINT_OPEN)) {
		made = look_up((int)result);
		fprintf(out, ",\"made\":");
		put_object(out, &made);
	}
	fprintf(out, "}\n");
}

/* One write(2) on a file opened for append: lines of several threads and processes do not mix. */
static void append(const char *path, const char *text, size_t size)
{
	int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (file < 0 || write(file, text, size) != (ssize_t)size) {
		perror(path);
		abort();
	}
	close(file);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Programs by which loaders probe a feature can be refused, to see what they do without it: RAWBPF_REFUSE has the names. */
static bool is_refused(const char *name)
{
	const char *refused = getenv("RAWBPF_REFUSE");

	return refused && *name && strstr(refused, name);
}

static long record(const char *path, const long *args)
{
	uint8_t attr[MAX_ATTR] = { 0 }, *value = NULL;
	size_t attr_size = (size_t)args[2], value_length = 0, size;
	int command = (int)args[0] & COMMAND_MASK, error;
	struct line *line = calloc(1, sizeof(*line));
	uint64_t start;
	char *text;
	long result;

	own_memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (own_memory < 0 || !line || !(line->out = open_memstream(&text, &size)))
		abort();
	if (attr_size > MAX_ATTR || !read_memory((uint64_t)args[1], attr, attr_size))
		attr_size = 0;
	fprintf(line->out, "{\"pid\":%d,\"command\":%d,\"flags\":%ld", getpid(), command, args[0] & ~(long)COMMAND_MASK);
	put_blob(line->out, "attr", attr, attr_size);
	put_blobs(line, command, attr, &value, &value_length);
	put_fds(line, command, attr, value, value_length);
	close(own_memory);

	start = now();
	if (command == PROG_LOAD && is_refused((const char *)attr + 48)) {
		result = -1;
		errno = EINVAL;
	} else {
		result = real_syscall(SYS_bpf, args[0], args[1], args[2], args[3], args[4]);
	}
	error = errno;
	put_answer(line->out, command, result, error, now() - start);

	fclose(line->out);
	append(path, text, size);
	free(text);
	free(value);
	free(line);
	errno = error;
	return result;
}

__attribute__((visibility("default"))) long syscall(long number, ...)
{
	const char *path = getenv("RAWBPF_RECORD");
	va_list list;
	long args[6];

	va_start(list, number);
	for (size_t i = 0; i < COUNT(args); i++)
		args[i] = va_arg(list, long);
	va_end(list);
	if (!real_syscall)
		find_syscall();
	if (number == SYS_bpf && path)
		return record(path, args);
	return real_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}
