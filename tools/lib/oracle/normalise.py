# SPDX-License-Identifier: BSD-2-Clause
"""A recording as what was handed over for the object alone, with names in place of the kernel's numbers.

Two rules make recordings of different loaders comparable:

- *Handles.* A descriptor becomes ``map:NAME``, ``prog:NAME`` or ``btf``, after the object of the kernel that it stood
  for at the time of the call; a second object of the same name is ``NAME#2``. The kernel's own BTF is ``btf:vmlinux``
  or ``btf:MODULE``; what existed before the load has its name followed by ``(existing)``.
- *Probes.* Loaders try out what the kernel can do with small programs, maps and BTF of their own. A map or program is
  the object's if it bears a name that the object defines, or one made from a section's name: these have a dot, which C
  names have not. BTF is the object's if one of those refers to it. All else is a probe, and dropped; and so are
  those of libbpf's probes whose names an object may well have, known by their values (``PROBES``).

Of several attempts to create the same thing (again for the verifier's log, again without BTF) the last counts, but not
one that fails as an earlier one did and is there to get the kernel's reasons.
"""

from __future__ import annotations

import contextlib
import struct
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from .attrs import Command

if TYPE_CHECKING:
    from pathlib import Path

    from .libbpf import Recording
    from .recorder import Call, Handle

NAME_LENGTH = 15  # BPF_OBJ_NAME_LEN without the NUL

# libbpf's probes that bear names an object may have too, with the fields that tell them from the object's
PROBE_FIELDS = ("map_type", "key_size", "value_size", "max_entries", "btf_fd", "prog_type", "insn_cnt", "func_info_cnt")
PROBES = {
    ("arr", 2, 4, 1, 1, 0, 0, 0, 0),  # for a full-range ld_imm64 offset
    ("global_reloc", 0, 0, 0, 0, 0, 1, 3, 0),  # its program
    ("det_arg_ctx", 0, 0, 0, 0, 0, 2, 4, 2),  # for the context arguments of global functions
}

# What differs between any two loads: addresses, and the verifier's log
UNCOMPARED = {
    "insns", "license", "log_level", "log_size", "log_buf", "func_info", "line_info", "fd_array", "core_relos",
    "log_true_size", "excl_prog_hash", "signature",
}  # fmt: skip
DESCRIPTORS = {
    "inner_map_fd", "btf_fd", "value_type_btf_obj_fd", "map_token_fd", "prog_btf_fd", "attach_prog_fd", "prog_token_fd",
    "prog_fd", "map_fd", "target_fd",
}  # fmt: skip

# enum bpf_map_type
PROG_ARRAY, ARRAY_OF_MAPS, HASH_OF_MAPS, STRUCT_OPS = 3, 12, 13, 26
# Bytes of a word in the value that may be a descriptor
DESCRIPTOR_WIDTH = {PROG_ARRAY: 4, ARRAY_OF_MAPS: 4, HASH_OF_MAPS: 4, STRUCT_OPS: 8}

LD_IMM64, CALL = 0x18, 0x85
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_BTF_ID, PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE = 1, 2, 3, 5, 6
PSEUDO_KFUNC_CALL = 2

Value = int | str | bytes


@dataclass(frozen=True)
class Insn:
    """One slot of eight bytes; ``imm`` is a handle's name where the loader put a descriptor, ``off`` likewise."""

    code: int
    dst: int
    src: int
    off: int | str
    imm: int | str


@dataclass
class MapHandedOver:
    """A map: its attribute, then what was written to it by load and, of struct_ops, attachment."""

    name: str
    attr: dict[str, Value]
    errno: int
    updates: list[tuple[bytes, tuple[Value, ...]]] = field(default_factory=list)
    frozen: bool = False
    attached: list[dict[str, Value]] = field(default_factory=list)


@dataclass
class ProgramHandedOver:
    """A program. ``tag`` is the kernel's digest of its instructions, if it was loaded.

    It is left out where a variable of a module is named: the kernel then digests a descriptor's number as well.
    """

    name: str
    attr: dict[str, Value]
    errno: int
    tag: str
    insns: list[Insn]
    license: str
    func_info: bytes
    line_info: bytes
    core_relos: bytes
    bound_maps: list[str] = field(default_factory=list)


@dataclass
class HandedOver:
    """All that a loader gave the kernel for an object, in order of creation, by symbolic name."""

    btf: list[bytes] = field(default_factory=list)
    maps: dict[str, MapHandedOver] = field(default_factory=dict)
    programs: dict[str, ProgramHandedOver] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def normalise(recording: Recording) -> HandedOver:
    """What the loader handed over for the object of this recording."""
    return _Normaliser(recording).run()


@lru_cache
def defined_names(obj: Path) -> set[str]:
    """The names of an object's symbols and sections as the kernel keeps them."""
    names: set[str] = set()
    with obj.open("rb") as file, contextlib.suppress(ELFError):  # of a broken object nobody loads anything
        elf: Any = ELFFile(file)
        for section in elf.iter_sections():
            names.add(section.name)
            if section["sh_type"] == "SHT_SYMTAB":
                names.update(symbol.name for symbol in section.iter_symbols())
    return {name[:NAME_LENGTH] for name in names if name}


class _Normaliser:
    def __init__(self, recording: Recording) -> None:
        self.names = defined_names(recording.obj)
        self.calls = [call for call in _without_probes(recording.calls, self.names)]
        self.symbols: dict[tuple[str, int], str] = {}  # by kind and id
        self.result = HandedOver()

    def run(self) -> HandedOver:
        steps = {
            Command.BTF_LOAD: self.btf_load,
            Command.MAP_CREATE: self.map_create,
            Command.MAP_UPDATE_ELEM: self.map_update,
            Command.MAP_FREEZE: self.map_freeze,
            Command.PROG_LOAD: self.prog_load,
            Command.PROG_BIND_MAP: self.prog_bind_map,
            Command.LINK_CREATE: self.link_create,
        }
        for call in self.calls:
            if isinstance(call.command, Command) and call.command in steps:
                steps[call.command](call)
        return self.result

    # --- commands

    def btf_load(self, call: Call) -> None:
        if call.made:
            count = len(self.result.btf)
            self.symbols["btf", call.made.id] = "btf" if not count else f"btf#{count + 1}"
        self.result.btf.append(call.blobs.get("btf", b""))
        self.result.order.append("btf")

    def map_create(self, call: Call) -> None:
        name = self.unused_name("map", call, self.result.maps)
        self.result.maps[name] = MapHandedOver(name, self.attr(call), call.errno)

    def map_update(self, call: Call) -> None:
        found = self.map_of(call)
        if not found:
            return
        value = call.blobs.get("value", b"")
        width = DESCRIPTOR_WIDTH.get(_number(found.attr, "map_type"), 0)
        found.updates.append((call.blobs.get("key", b""), self.words(call, value, width)))

    def map_freeze(self, call: Call) -> None:
        found = self.map_of(call)
        if found:
            found.frozen = True

    def prog_load(self, call: Call) -> None:
        insns = self.insns(call)
        name = self.unused_name("prog", call, self.result.programs, lambda earlier: earlier.insns == insns)
        self.result.programs[name] = ProgramHandedOver(
            name=name,
            attr=self.attr(call),
            errno=call.errno,
            tag=call.made.tag if call.made and not _names_module_variable(insns) else "",
            insns=insns,
            license=call.blobs.get("license", b"").decode("utf-8", "backslashreplace"),
            func_info=call.blobs.get("func_info", b""),
            line_info=call.blobs.get("line_info", b""),
            core_relos=call.blobs.get("core_relos", b""),
        )

    def prog_bind_map(self, call: Call) -> None:
        found = self.result.programs.get(self.symbol(call, "prog_fd").removeprefix("prog:"))
        if found:
            found.bound_maps.append(self.symbol(call, "map_fd"))

    def link_create(self, call: Call) -> None:
        found = self.result.maps.get(self.symbol(call, "prog_fd").removeprefix("map:"))
        if found:
            found.attached.append(self.attr(call))

    # --- handles

    def unused_name(self, kind: str, call: Call, taken: dict[str, Any], same: Any = lambda earlier: True) -> str:
        """The name of what a call creates; that of an earlier attempt at the same thing if that failed."""
        name = call.name
        count = 1
        while name in taken and not (taken[name].errno and same(taken[name])):
            count += 1
            name = f"{call.name}#{count}"
        if name not in taken:
            self.result.order.append(f"{kind}:{name}")
        if call.made:
            self.symbols[kind, call.made.id] = f"{kind}:{name}"
        return name

    def handle(self, found: Handle) -> str:
        known = self.symbols.get((found.kind, found.id))
        if known:
            return known
        return f"btf:{found.name}" if found.kind == "btf" and found.name else f"{found.kind}:{found.name}(existing)"

    def symbol(self, call: Call, name: str) -> str:
        found = call.fds.get(call.number(name))
        return self.handle(found) if found else ""

    def map_of(self, call: Call) -> MapHandedOver | None:
        return self.result.maps.get(self.symbol(call, "map_fd").removeprefix("map:"))

    # --- contents

    def attr(self, call: Call) -> dict[str, Value]:
        """The attribute without addresses and log, its descriptors as handles."""
        result: dict[str, Value] = {}
        for name, value in call.attr.items():
            if name in DESCRIPTORS and value in call.fds:
                assert isinstance(value, int)
                result[name] = self.handle(call.fds[value])
            elif name not in UNCOMPARED:
                result[name] = value
        return result

    def words(self, call: Call, value: bytes, width: int) -> tuple[Value, ...]:
        """A value with the words that are descriptors of this object's maps or programs as handles.

        In a struct_ops value a member's type is not known here. Low descriptors are kept from the recorded process, so
        that a word which happens to equal one is an accident that no test has met.
        """
        if not width:
            return (value,)
        result: list[Value] = []
        plain = b""
        for (word,) in struct.iter_unpack(f"={'Q' if width == 8 else 'I'}", value):
            found = call.fds.get(word)
            if found and found.kind in ("prog", "map"):
                result += [plain, self.handle(found)]
                plain = b""
            else:
                plain += word.to_bytes(width, sys.byteorder)
        return (*result, plain)

    def insns(self, call: Call) -> list[Insn]:
        result: list[Insn] = []
        wide = 0  # the src of the first half of an ld_imm64
        for code, regs, off, imm in struct.iter_unpack("=BBhi", call.blobs.get("insns", b"")):
            dst, src = regs & 15, regs >> 4
            insn = Insn(code, dst, src, off, imm)
            if wide:
                if wide == PSEUDO_BTF_ID and imm:
                    insn = Insn(code, dst, src, off, self.fd_name(call, imm))
                wide = 0
            elif code == LD_IMM64:
                wide = src or -1
                if src in (PSEUDO_MAP_FD, PSEUDO_MAP_VALUE):
                    insn = Insn(code, dst, src, off, self.fd_name(call, imm))
                elif src in (PSEUDO_MAP_IDX, PSEUDO_MAP_IDX_VALUE):
                    insn = Insn(code, dst, src, off, self.array_name(call, imm))
            elif code == CALL and src == PSEUDO_KFUNC_CALL and off:
                insn = Insn(code, dst, src, self.array_name(call, off), imm)
            result.append(insn)
        return result

    def fd_name(self, call: Call, fd: int) -> int | str:
        found = call.fds.get(fd)
        return self.handle(found) if found else fd

    def array_name(self, call: Call, index: int) -> int | str:
        return self.fd_name(call, call.fd_array[index]) if 0 <= index < len(call.fd_array) else index


def _names_module_variable(insns: list[Insn]) -> bool:
    return any(
        one.code == LD_IMM64 and one.src == PSEUDO_BTF_ID and isinstance(second.imm, str)
        for one, second in pairwise(insns)
    )


def _without_probes(calls: list[Call], names: set[str]) -> list[Call]:
    """The calls but those that create probes, or BTF that only probes refer to."""

    def is_object(call: Call) -> bool:
        if (call.name, *(call.number(name) for name in PROBE_FIELDS)) in PROBES:
            return False
        return call.name in names or (call.command == Command.MAP_CREATE and "." in call.name)

    creating = (Command.MAP_CREATE, Command.PROG_LOAD)
    calls = [call for call in calls if call.ok or not call.asks_why]
    kept = [call for call in calls if call.command not in creating or is_object(call)]
    used = {
        call.fds[call.number(name)].id
        for call in kept
        if call.command in creating
        for name in ("btf_fd", "prog_btf_fd")
        if call.number(name) in call.fds
    }
    return [call for call in kept if call.command != Command.BTF_LOAD or (call.made and call.made.id in used)]


def _number(attr: dict[str, Value], name: str) -> int:
    value = attr[name]
    assert isinstance(value, int)
    return value
