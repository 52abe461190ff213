# SPDX-License-Identifier: BSD-2-Clause
"""Loads one object with a libbpf shared library and prints the outcome as JSON: the child process of libbpf.py.

Nothing gets attached, but struct_ops maps on request, which are detached again before the end.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
from typing import Any

STRUCT_OPS_MAP = 26  # BPF_MAP_TYPE_STRUCT_OPS


class OpenOpts(ctypes.Structure):
    """``struct bpf_object_open_opts`` as far as it is used here; its size tells libbpf where it ends."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("unused", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
        ("btf_custom_path", ctypes.c_char_p),
    )


def bind(path: str) -> Any:
    """The library with the result types of the functions used: pointers, where C's default is an int."""
    library = ctypes.CDLL(path, use_errno=True)
    for name in (
        "bpf_object__open_file",
        "bpf_object__next_program",
        "bpf_object__next_map",
        "bpf_map__attach_struct_ops",
    ):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("bpf_program__name", "bpf_map__name"):
        getattr(library, name).restype = ctypes.c_char_p
    library.bpf_map__autocreate.restype = ctypes.c_bool
    return library


def each(step: Any, obj: ctypes.c_void_p) -> list[ctypes.c_void_p]:
    """All that ``bpf_object__next_program`` or ``..._map`` goes through."""
    found = []
    current = step(obj, None)
    while current:
        found.append(ctypes.c_void_p(current))
        current = step(obj, found[-1])
    return found


def attach_struct_ops(library: Any, maps: list[ctypes.c_void_p]) -> dict[str, int]:
    """Attaches and detaches each struct_ops map; gives the errno by the map's name."""
    outcome = {}
    for bpf_map in maps:
        if library.bpf_map__type(bpf_map) != STRUCT_OPS_MAP or not library.bpf_map__autocreate(bpf_map):
            continue
        link = library.bpf_map__attach_struct_ops(bpf_map)
        outcome[library.bpf_map__name(bpf_map).decode()] = 0 if link else ctypes.get_errno()
        if link:
            library.bpf_link__destroy(ctypes.c_void_p(link))
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("object")
    parser.add_argument("--program", action="append", help="load these alone, in place of the object's own choice")
    parser.add_argument("--attach", action="store_true", help="attach and detach struct_ops maps")
    parser.add_argument("--btf", help="BTF file for CO-RE in place of the running kernel's")
    parser.add_argument("--pin-root", help="directory for maps that are pinned by name")
    arguments = parser.parse_args()

    library = bind(arguments.library)
    opts = OpenOpts(sz=ctypes.sizeof(OpenOpts))
    if arguments.pin_root:
        opts.pin_root_path = os.fsencode(arguments.pin_root)
    if arguments.btf:
        opts.btf_custom_path = os.fsencode(arguments.btf)
    address = library.bpf_object__open_file(os.fsencode(arguments.object), ctypes.byref(opts))
    if not address:
        print(json.dumps({"stage": "open", "errno": ctypes.get_errno()}))
        return
    obj = ctypes.c_void_p(address)
    programs = each(library.bpf_object__next_program, obj)
    names = {program.value: library.bpf_program__name(program).decode() for program in programs}
    if arguments.program is not None:
        for program in programs:
            library.bpf_program__set_autoload(program, ctypes.c_bool(names[program.value] in arguments.program))
    error = library.bpf_object__load(obj)
    outcome: dict[str, object] = {
        "stage": "load",
        "errno": -error,
        "programs": {names[program.value]: library.bpf_program__fd(program) >= 0 for program in programs},
    }
    if arguments.attach and not error:
        outcome["attached"] = attach_struct_ops(library, each(library.bpf_object__next_map, obj))
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
