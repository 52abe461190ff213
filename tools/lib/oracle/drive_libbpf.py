# SPDX-License-Identifier: BSD-2-Clause
"""Loads objects with a libbpf shared library and prints the outcomes as JSON lines: the child process of libbpf.py.

Nothing gets attached, but struct_ops maps on request, which are detached again before the end.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

STRUCT_OPS_MAP = 26  # BPF_MAP_TYPE_STRUCT_OPS
BPFFS = b"/sys/fs/bpf"
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


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


EDITS = """\
before the load: type, attach-type or flags (a number) or insns (hex) of the program NAME; target: what it attaches to,
ID:FUNCTION of another program; member: of the struct_ops NAME, MEMBER:OFFSET:VALUE, a number, a program, or null"""


def arguments(*, library: bool) -> argparse.Namespace:
    """The command line, which drive_rawbpf.py shares but for the path of the library."""
    parser = argparse.ArgumentParser()
    if library:
        parser.add_argument("library")
    parser.add_argument("objects", nargs="+")
    parser.add_argument("--program", action="append", help="load these alone, in place of the object's own choice")
    parser.add_argument("--each", action="store_true", help="then load each program alone, one after the other")
    parser.add_argument("--attach", action="append", default=[], help="attach and detach the struct_ops of this object")
    parser.add_argument("--resize", nargs=2, action="append", default=[], metavar=("SECTION", "SIZE"))
    parser.add_argument("--exclusive", nargs=2, action="append", default=[], metavar=("MAP", "PROGRAM"))
    parser.add_argument("--edit", nargs=3, action="append", default=[], metavar=("WHAT", "NAME", "VALUE"), help=EDITS)
    parser.add_argument("--btf", help="BTF file for CO-RE in place of the running kernel's")
    parser.add_argument("--limit", type=float, default=0, help="seconds after which a load ends this process (SIGALRM)")
    return parser.parse_args()


class Outcome(NamedTuple):
    """How a load went.

    Attributes:
        stage: ``open`` if the object was refused when it was read, ``load``, or ``crash`` for an unexpected exception.
        errno: 0 for success.
        programs: which of them were loaded.
    """

    stage: str
    errno: int
    programs: dict[str, bool]


def drive(options: argparse.Namespace, load: Callable[[str, list[str] | None, bool], Outcome]) -> None:
    """Has ``load`` load each object, then each of its programs alone if that is wanted, and prints how it went.

    ``load`` takes the object, the programs to load (None: the object's own choice), and whether to attach struct_ops.
    """

    def one(path: str, program: str, chosen: list[str] | None) -> Outcome:
        begin(path, program)
        signal.setitimer(signal.ITIMER_REAL, options.limit)
        try:
            outcome = load(path, chosen, not program and path in options.attach)
        except Exception:
            traceback.print_exc()
            outcome = Outcome("crash", -1, {})
        print(json.dumps({"object": path, "program": program, **outcome._asdict()}), flush=True)
        return outcome

    own_mounts()
    for path in options.objects:
        whole = one(path, "", options.program)
        for name in whole.programs if options.each else ():
            one(path, name, [name])


def begin(path: str, program: str) -> None:
    """Marks where a load begins in the recording and in the log, and lets it find nothing pinned."""
    mark = json.dumps({"mark": [path, program]})
    with open(os.environ["RAWBPF_RECORD"], "a") as record:
        print(mark, file=record)
    print(mark, file=sys.stderr, flush=True)
    empty_bpffs()


def own_mounts() -> None:
    """Gives this process mounts of its own: what is mounted from here on nobody else sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "cannot have mounts of its own")


def empty_bpffs() -> None:
    """Mounts a new BPF file system over the usual place, for a load to find nothing pinned there."""
    if ctypes.CDLL(None, use_errno=True).mount(b"bpf", BPFFS, b"bpf", 0, None):
        raise OSError(ctypes.get_errno(), f"cannot mount a bpffs on {BPFFS.decode()}")


class Loader:
    """Opens and loads objects; each load begins afresh."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.library: Any = ctypes.CDLL(options.library, use_errno=True)
        # result types that are no int
        for name in (
            "object__open_file",
            "object__next_program",
            "object__next_map",
            "map__initial_value",
            "map__attach_struct_ops",
        ):
            getattr(self.library, f"bpf_{name}").restype = ctypes.c_void_p
        for name in ("program__name", "map__name"):
            getattr(self.library, f"bpf_{name}").restype = ctypes.c_char_p
        self.library.bpf_map__autocreate.restype = ctypes.c_bool

    def open(self, path: str) -> ctypes.c_void_p:
        """The object; a null pointer if libbpf refuses it, and errno says why."""
        opts = OpenOpts(sz=ctypes.sizeof(OpenOpts))
        if self.options.btf:
            opts.btf_custom_path = os.fsencode(self.options.btf)
        return ctypes.c_void_p(self.library.bpf_object__open_file(os.fsencode(path), ctypes.byref(opts)))

    def load(self, path: str, chosen: list[str] | None, attach: bool) -> Outcome:
        """Loads the chosen programs, or those that libbpf loads by itself, and tells how it went."""
        obj = self.open(path)
        if not obj:
            return Outcome("open", ctypes.get_errno(), {})
        programs = self.programs(obj)
        if chosen is not None:
            for name, program in programs.items():
                self.library.bpf_program__set_autoload(program, ctypes.c_bool(name in chosen))
        self.edit(obj, programs)
        error = -self.library.bpf_object__load(obj)
        loaded = {name: self.library.bpf_program__fd(program) >= 0 for name, program in programs.items()}
        if attach and not error:
            self.attach_struct_ops(obj)
        self.library.bpf_object__close(obj)
        return Outcome("load", error, loaded)

    def edit(self, obj: ctypes.c_void_p, programs: dict[str, ctypes.c_void_p]) -> None:
        """Changes maps as the command line wants them."""
        maps = {
            os.fsdecode(self.library.bpf_map__name(found)): found
            for found in self.walk(obj, self.library.bpf_object__next_map)
        }
        for name, size in self.options.resize:
            self.library.bpf_map__set_value_size(maps[name], ctypes.c_uint32(int(size)))
        for name, program in self.options.exclusive:
            self.library.bpf_map__set_exclusive_program(maps[name], programs[program])
        for what, name, value in self.options.edit:
            if what == "member":
                self.set_member(maps[name], programs, *value.split(":"))
            else:
                self.edit_program(programs[name], what, value)

    def edit_program(self, program: ctypes.c_void_p, what: str, value: str) -> None:
        if what == "insns":
            code = bytes.fromhex(value)
            self.library.bpf_program__set_insns(program, code, ctypes.c_size_t(len(code) // 8))
        elif what == "target":
            number, function = value.split(":")
            fd = self.library.bpf_prog_get_fd_by_id(ctypes.c_uint32(int(number)))
            self.library.bpf_program__set_attach_target(program, fd, function.encode())
        else:
            setter = {"type": "type", "attach-type": "expected_attach_type", "flags": "flags"}[what]
            getattr(self.library, f"bpf_program__set_{setter}")(program, int(value))

    def set_member(
        self, bpf_map: ctypes.c_void_p, programs: dict[str, ctypes.c_void_p], member: str, offset: str, value: str
    ) -> None:
        place = self.library.bpf_map__initial_value(bpf_map, None) + int(offset)
        if value.isdecimal():
            ctypes.c_uint32.from_address(place).value = int(value)
        else:
            ctypes.c_void_p.from_address(place).value = None if value == "null" else programs[value].value

    def programs(self, obj: ctypes.c_void_p) -> dict[str, ctypes.c_void_p]:
        found = self.walk(obj, self.library.bpf_object__next_program)
        return {os.fsdecode(self.library.bpf_program__name(program)): program for program in found}

    def attach_struct_ops(self, obj: ctypes.c_void_p) -> None:
        """Attaches and detaches each struct_ops map."""
        for bpf_map in self.walk(obj, self.library.bpf_object__next_map):
            if self.library.bpf_map__type(bpf_map) == STRUCT_OPS_MAP and self.library.bpf_map__autocreate(bpf_map):
                link = self.library.bpf_map__attach_struct_ops(bpf_map)
                if link:
                    self.library.bpf_link__destroy(ctypes.c_void_p(link))

    def walk(self, obj: ctypes.c_void_p, step: Any) -> list[ctypes.c_void_p]:
        found: list[ctypes.c_void_p] = []
        while address := step(obj, found[-1] if found else None):
            found.append(ctypes.c_void_p(address))
        return found


if __name__ == "__main__":
    options = arguments(library=True)
    drive(options, Loader(options).load)
