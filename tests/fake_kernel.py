# SPDX-License-Identifier: BSD-2-Clause
"""A kernel for tests, to be put behind the gate: maps, programs, BTF, pins, links and struct_ops that only remember.

It is checked against the real one by running the same tests on both (the fixture `machine`). Its descriptors are real
ones (of memory files), so they can be leaked, duplicated and closed as real ones can.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from rawbpf.kernel import gate
from rawbpf.kernel.attr import attr_layout, info_layout
from rawbpf.uapi import Cmd, MapType


class Errno(Exception):
    """What a handler answers with when it refuses."""


class Thing:
    """An object in the fake kernel."""

    def __init__(self, kind: str, number: int, fields: dict[str, Any]) -> None:
        self.kind = kind
        self.id = number
        self.fields = fields
        self.elements: dict[bytes, bytes] = {}
        self.frozen = False
        self.registered = False


class FakeKernel:
    """``gate.replace(FakeKernel())``.

    Attributes:
        calls: the commands, in order.
        registered: the struct_ops maps that are registered.
    """

    def __init__(self) -> None:
        self.calls: list[Cmd] = []
        self.things: dict[int, Thing] = {}
        self.pins: dict[tuple[int, int], Thing] = {}

    def __call__(self, command: int, address: int, size: int, common: int, common_size: int) -> int:
        try:
            if common:
                raise Errno(errno.EINVAL)
            self.calls.append(Cmd(command))
            fields = attr_layout(Cmd(command)).unpack(ctypes.string_at(address, size))
            handler = getattr(self, Cmd(command).name.lower(), None)
            if handler is None:
                raise Errno(errno.EINVAL)
            return int(handler(fields))
        except Errno as refusal:
            ctypes.set_errno(refusal.args[0])
            return -1

    # -- descriptors

    def open(self, thing: Thing) -> int:
        number = os.memfd_create(f"{thing.kind}-{thing.id}", os.MFD_CLOEXEC)
        self.things[os.fstat(number).st_ino] = thing
        return number

    def get(self, number: int, *kinds: str) -> Thing:
        try:
            thing = self.things.get(os.fstat(number).st_ino)
        except OSError as failure:
            raise Errno(errno.EBADF) from failure
        if thing is None or (kinds and thing.kind not in kinds):
            raise Errno(errno.EINVAL)
        return thing

    def make(self, kind: str, fields: dict[str, Any]) -> int:
        return self.open(Thing(kind, len(self.things) + 1, fields))

    @property
    def registered(self) -> list[Thing]:
        return [thing for thing in {*self.things.values()} if thing.registered]

    def kind_of(self, fd: Any) -> tuple[str, int]:
        """Stands for `bpffs.kind_of`, which asks /proc."""
        thing = self.get(fd.fileno())
        return thing.kind, thing.id

    # -- commands

    def btf_load(self, fields: dict[str, Any]) -> int:
        if ctypes.string_at(fields["btf"], 2) != (0xEB9F).to_bytes(2, "little"):
            raise Errno(errno.EINVAL)
        return self.make("btf", fields)

    def map_create(self, fields: dict[str, Any]) -> int:
        if not 0 < fields["map_type"] < 64:
            raise Errno(errno.EINVAL)
        if fields["btf_fd"]:
            self.get(fields["btf_fd"], "btf")
        return self.make("map", fields)

    def map_update_elem(self, fields: dict[str, Any]) -> int:
        thing = self.get(fields["map_fd"], "map")
        if thing.frozen:
            raise Errno(errno.EPERM)
        key = ctypes.string_at(fields["key"], thing.fields["key_size"])
        if thing.fields["map_type"] == MapType.STRUCT_OPS:
            if thing.elements:
                raise Errno(errno.EBUSY)
            thing.registered = not thing.fields["map_flags"] & 1 << 13
        elif key not in thing.elements and len(thing.elements) >= thing.fields["max_entries"]:
            raise Errno(errno.E2BIG)
        thing.elements[key] = ctypes.string_at(fields["value"], thing.fields["value_size"])
        return 0

    def map_lookup_elem(self, fields: dict[str, Any]) -> int:
        thing = self.get(fields["map_fd"], "map")
        value = thing.elements.get(ctypes.string_at(fields["key"], thing.fields["key_size"]))
        if value is None:
            raise Errno(errno.ENOENT)
        ctypes.memmove(fields["value"], value, len(value))
        return 0

    def map_delete_elem(self, fields: dict[str, Any]) -> int:
        thing = self.get(fields["map_fd"], "map")
        if thing.elements.pop(ctypes.string_at(fields["key"], thing.fields["key_size"]), None) is None:
            raise Errno(errno.ENOENT)
        thing.registered = False
        return 0

    def map_get_next_key(self, fields: dict[str, Any]) -> int:
        thing = self.get(fields["map_fd"], "map")
        keys = list(thing.elements)
        after = ctypes.string_at(fields["key"], thing.fields["key_size"]) if fields["key"] else None
        index = keys.index(after) + 1 if after in keys else 0
        if index == len(keys):
            raise Errno(errno.ENOENT)
        ctypes.memmove(fields["next_key"], keys[index], len(keys[index]))
        return 0

    def map_freeze(self, fields: dict[str, Any]) -> int:
        self.get(fields["map_fd"], "map").frozen = True
        return 0

    def prog_load(self, fields: dict[str, Any]) -> int:
        return self.make("program", fields)

    def prog_bind_map(self, fields: dict[str, Any]) -> int:
        self.get(fields["prog_fd"], "program")
        self.get(fields["map_fd"], "map")
        return 0

    def link_create(self, fields: dict[str, Any]) -> int:
        thing = self.get(fields["prog_fd"], "map", "program")
        if thing.kind == "map" and not thing.elements:
            raise Errno(errno.EINVAL)
        return self.make("link", fields)

    def obj_pin(self, fields: dict[str, Any]) -> int:
        path = ctypes.string_at(fields["pathname"])
        if b"." in os.path.basename(path):
            raise Errno(errno.EPERM)
        thing = self.get(fields["bpf_fd"], "map", "program", "link")
        try:
            with open(path, "x"):
                status = os.stat(path)
        except FileExistsError as failure:
            raise Errno(errno.EEXIST) from failure
        self.pins[status.st_dev, status.st_ino] = thing
        return 0

    def obj_get(self, fields: dict[str, Any]) -> int:
        try:
            status = os.stat(ctypes.string_at(fields["pathname"]))
        except FileNotFoundError as failure:
            raise Errno(errno.ENOENT) from failure
        return self.open(self.pins[status.st_dev, status.st_ino])

    def obj_get_info_by_fd(self, fields: dict[str, Any]) -> int:
        thing = self.get(fields["bpf_fd"])
        if thing.kind not in ("map", "program"):
            raise Errno(errno.EINVAL)
        layout = info_layout("map" if thing.kind == "map" else "prog")
        known = {"id": thing.id, "name": thing.fields.get("map_name", thing.fields.get("prog_name", b""))}
        if thing.kind == "map":
            shape = ("key_size", "value_size", "max_entries", "map_flags", "map_extra")
            known |= {"type": thing.fields["map_type"], **{name: thing.fields[name] for name in shape}}
        else:
            known["type"] = thing.fields["prog_type"]
        data = bytes(layout.pack(known))
        ctypes.memmove(fields["info"], data, min(len(data), fields["info_len"]))
        return 0


class FailAt:
    """A gate at which the k-th call fails, and its repetitions; all others are passed on."""

    def __init__(self, number: int, error: type[BaseException] | None) -> None:
        self.left = number
        self.error = error
        self.command = -1
        self.gate = gate._syscall or gate._kernel()

    def __call__(self, command: int, *arguments: int) -> int:
        self.left -= 1
        if self.left == -1:
            self.command = command
            if self.error:
                raise self.error
        if command != self.command:
            self.command = -1
            return self.gate(command, *arguments)
        ctypes.set_errno(errno.EIO)
        return -1
