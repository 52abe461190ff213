// SPDX-License-Identifier: BSD-2-Clause
/*
 * The least that a loader in C does with libbpf: load an object, attach its struct_ops, pin it all below a directory.
 * For tools/bench, where the installed bpftool is too old for an object. Needs no header of libbpf, whose functions
 * have kept their form since 1.0.
 */
#include <stdio.h>

#define STRUCT_OPS 26 /* BPF_MAP_TYPE_STRUCT_OPS */
#define PATH_SIZE 4096

struct bpf_object;
struct bpf_map;
struct bpf_link;

struct bpf_object *bpf_object__open(const char *path);
int bpf_object__load(struct bpf_object *obj);
int bpf_object__pin(struct bpf_object *obj, const char *path);
struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map);
int bpf_map__type(const struct bpf_map *map);
const char *bpf_map__name(const struct bpf_map *map);
struct bpf_link *bpf_map__attach_struct_ops(const struct bpf_map *map);
int bpf_link__pin(struct bpf_link *link, const char *path);

static int attach(const struct bpf_map *map, const char *directory)
{
	struct bpf_link *link = bpf_map__attach_struct_ops(map);
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/link_%s", directory, bpf_map__name(map));
	return link ? bpf_link__pin(link, path) : -1;
}

int main(int argc, char **argv)
{
	struct bpf_object *obj;
	struct bpf_map *map = NULL;

	if (argc != 3) {
		fprintf(stderr, "usage: %s OBJ DIR\n", argv[0]);
		return 2;
	}
	obj = bpf_object__open(argv[1]);
	if (!obj || bpf_object__load(obj) || bpf_object__pin(obj, argv[2]))
		return 1;
	while ((map = bpf_object__next_map(obj, map)))
		if (bpf_map__type(map) == STRUCT_OPS && attach(map, argv[2]))
			return 1;
	return 0;
}
