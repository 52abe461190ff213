# SPDX-License-Identifier: BSD-2-Clause
"""The blueprint of an object: plain data that may be edited before it becomes a plan.

Nothing here depends on the machine: the same file gives the same `ObjectSpec` everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rawbpf.btf.match import essential_name
from rawbpf.errors import SpecError, where
from rawbpf.uapi import MapType

if TYPE_CHECKING:
    from rawbpf.btf.ext import BtfExt
    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.elf import Elf, Symbol
    from rawbpf.objfile.program_spec import FunctionSpec, ProgramSpec

DATA_KINDS = ("data", "rodata", "bss", "kconfig", "percpu")
"""The kinds of `MapSpec` that hold variables."""

MAX_DATA_SIZE = 64 << 20
"""How many bytes of variables an object may have: they are all kept in memory, even those of .bss."""


@dataclass
class MapSpec:
    """A map to be created.

    Attributes:
        name: as the C source calls it; a data section's is the section's (``.rodata``).
        kernel_name: what the kernel will be told, 15 characters at most.
        kind: ``map`` (from .maps), ``data``, ``rodata``, ``bss``, ``percpu``, ``kconfig`` or
            ``struct_ops``.
        key_size, value_size: in bytes. max_entries: the number of entries, or bytes of a ring buffer.
        map_flags: ``BPF_F_*`` (`rawbpf.uapi.MapFlag`). map_extra, numa_node: as in ``union bpf_attr``.
        btf_key_type_id, btf_value_type_id: types in the object's BTF, 0 for none.
        inner: the template of a map in map.
        slots: index → name of the map or program that the C source puts there.
        pin_by_name: ``__uint(pinning, LIBBPF_PIN_BY_NAME)``.
        pin_path: where it is pinned, and reused from if it is there; empty for /sys/fs/bpf/NAME if it is pinned by
            name, else not at all.
        ifindex: the interface of an offloaded map, 0 for none.
        exclusive_program: the name of the one program that may use it, empty for all (Linux 6.18).
        contents: initial bytes of a data section; of an arena those of its globals (``.addr_space.1``).
        contents_index: the index of the ELF section that they are from, 0 for none.
        autocreate: whether it will be created at all.
        section, offset: where it was found.
    """

    name: str
    kernel_name: str
    kind: str = "map"
    map_type: int = MapType.UNSPEC
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    map_flags: int = 0
    map_extra: int = 0
    numa_node: int = 0
    btf_key_type_id: int = 0
    btf_value_type_id: int = 0
    inner: MapSpec | None = None
    slots: dict[int, str] = field(default_factory=dict)
    pin_by_name: bool = False
    pin_path: str = ""
    ifindex: int = 0
    exclusive_program: str = ""
    contents: bytearray | None = None
    autocreate: bool = True
    section: str = ""
    section_index: int = 0
    offset: int = 0
    contents_index: int = 0


@dataclass
class VariableSpec:
    """A global variable. Reading and writing `value` works on the initial contents of its section.

    Attributes:
        map: the name of the data section's map. offset, size: in bytes.
        type_id: its type in the object's BTF (0: bytes).
    """

    name: str
    map: str
    offset: int
    size: int
    type_id: int
    _spec: ObjectSpec = field(repr=False, compare=False)

    @property
    def value(self) -> Any:
        """The initial value, typed by BTF. Raises `SpecError` when a new one does not fit, `BtfError` for bad types."""
        from rawbpf.btf import value as typed

        if not self.type_id or self._spec.btf is None:
            return bytes(self._contents[self.offset : self.offset + self.size])
        with where(symbol=self.name, path=self._spec.path):
            return typed.decode(self._spec.btf, self.type_id, self._contents[self.offset : self.offset + self.size])

    @value.setter
    def value(self, new: Any) -> None:
        from rawbpf.btf import value as typed

        if isinstance(new, bytes) and (not self.type_id or len(new) == self.size):
            data = new
        elif self._spec.btf is None or not self.type_id:
            raise SpecError(f"variable {self.name!r} has no BTF type: only bytes can be set", symbol=self.name)
        else:
            with where(symbol=self.name, path=self._spec.path):
                data = typed.encode(self._spec.btf, self.type_id, new)
        if len(data) != self.size:
            raise SpecError(f"variable {self.name!r} has {self.size} bytes, not {len(data)}", symbol=self.name)
        self._contents[self.offset : self.offset + self.size] = data

    def set_text(self, text: str) -> None:
        """Set the value from what a user typed: a number, true, an enum's name, a string, JSON for the rest."""
        from rawbpf.btf import value as typed

        if self._spec.btf is None or not self.type_id:
            raise SpecError(f"variable {self.name!r} has no BTF type", symbol=self.name)
        with where(symbol=self.name, path=self._spec.path):
            self.value = typed.parse_value(self._spec.btf, self.type_id, text)

    @property
    def _contents(self) -> bytearray:
        contents = self._spec.maps[self.map].contents
        if contents is None:
            raise SpecError(f"variable {self.name!r} is in {self.map}, which has no initial contents", symbol=self.name)
        return contents


@dataclass
class StructOpsSpec:
    """A struct of function pointers that the kernel calls: a variable in ``.struct_ops`` or ``.struct_ops.link``.

    Members are read and set by name: ``ops["name"] = "rr"``, ``ops["init"] = "my_init"`` (a program), ``ops["init"] =
    None``, ``ops["limits.max"] = 3`` (a struct in the struct). A program that no struct uses any more is not loaded.

    Attributes:
        name: the variable. map: the name of its map (the same).
        type_id, type_name: its struct in the object's BTF.
        data: its bytes in the file; members that are functions are 0 there.
        functions: byte offset of a member → name of the program.
        declared: the programs that the file puts into it.
        link: whether a link registers it (``.struct_ops.link``), and ends it.

    Whether it is created at all is said by its map's `MapSpec.autocreate`; ``SEC("?.struct_ops")`` says no.
    """

    name: str
    type_id: int
    type_name: str
    data: bytearray
    functions: dict[int, str]
    link: bool
    section: str
    _spec: ObjectSpec = field(repr=False, compare=False)
    declared: tuple[str, ...] = ()

    def __getitem__(self, member: str) -> Any:
        """The value of a member, typed by BTF; of a function the program's name, or None.

        Raises:
            SpecError: the struct has no such member, or it is a pointer to data.
        """
        from rawbpf.objfile.members import get_member

        with where(symbol=self.name, path=self._spec.path):
            return get_member(self._spec, self, member)

    def __setitem__(self, member: str, value: Any) -> None:
        """Set a member: a value of its type; a function by a program (`ProgramSpec` or its name) or None.

        Raises:
            SpecError: there is no such member or program, the program is none for struct_ops, the value does not fit.
        """
        from rawbpf.objfile.members import set_member

        with where(symbol=self.name, path=self._spec.path):
            set_member(self._spec, self, member, value)

    def set_text(self, member: str, text: str) -> None:
        """Set a member from what a user typed: as `VariableSpec.set_text`; a program's name; ``null`` for none."""
        from rawbpf.objfile.members import set_member_text

        with where(symbol=self.name, path=self._spec.path):
            set_member_text(self._spec, self, member, text)


@dataclass
class ExternSpec:
    """What the object wants to find in the kernel.

    Attributes:
        kind: ``kconfig``, ``ksym`` (address of a symbol, with a type or without) or ``kfunc``.
        type_id: of a kconfig or ksym variable the type behind qualifiers (0: typeless), of a kfunc its FUNC.
        var_id: the VAR or FUNC itself.
        weak: whether the object copes when it is missing.
        symbol: its ELF symbol.
        size, align: of a kconfig variable, in bytes.
    """

    name: str
    kind: str
    type_id: int
    var_id: int
    weak: bool
    symbol: Symbol = field(repr=False)
    size: int = 0
    align: int = 0

    @property
    def essential_name(self) -> str:
        """The name without its flavor: ``bpf_foo___v2`` is another prototype of ``bpf_foo``."""
        return essential_name(self.name)


@dataclass
class ObjectSpec:
    """An object file, read.

    Attributes:
        name: the file's name without what is behind its first dot.
        path: as given.
        little: its byte order.
        license: the ``license`` section.
        btf, btf_ext: None where the file has none.
        programs: by name, in the order of sections and of functions in them.
        functions: subprograms in ``.text``, by name.
        maps: by name, in the order in which they will be created.
        variables: by name; externs are not among them.
        warnings: what is wrong with the file and does not keep it from being used.
    """

    name: str
    path: str
    little: bool
    elf: Elf = field(repr=False)
    license: str = ""
    kern_version: int = 0
    btf: Btf | None = field(default=None, repr=False)
    btf_ext: BtfExt | None = field(default=None, repr=False)
    programs: dict[str, ProgramSpec] = field(default_factory=dict)
    functions: dict[str, FunctionSpec] = field(default_factory=dict)
    maps: dict[str, MapSpec] = field(default_factory=dict)
    variables: dict[str, VariableSpec] = field(default_factory=dict)
    struct_ops: dict[str, StructOpsSpec] = field(default_factory=dict)
    externs: dict[str, ExternSpec] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def function_at(self, section_index: int, slot: int) -> FunctionSpec | None:
        """The function that holds an instruction, by section index and slot in the section."""
        for function in (*self.programs.values(), *self.functions.values()):
            if function.section_index == section_index and 0 <= slot - function.start < len(function.insns):
                return function
        return None

    def resize_section(self, name: str, size: int) -> None:
        """Give a section of variables another size, in bytes, before it is loaded.

        New bytes are 0. The section's last variable, if it is an array, then ends where the section does: it has more
        elements (or fewer). If it is none, or `size` is no whole number of its elements, the map has no types, which
        `warnings` tells; libbpf's bpf_map__set_value_size() does the same.

        Raises:
            SpecError: no section of variables has that name, or a variable would no longer fit.
        """
        from rawbpf.objfile.resize import resize_section

        resize_section(self, name, size)

    def only(self, names: list[str]) -> None:
        """Load the named programs and no others. Raises `SpecError` for a name that is no program."""
        for name in names:
            if name not in self.programs:
                raise self.no_such("program", name, list(self.programs))
        for program in self.programs.values():
            program.autoload = program.name in names

    def no_such(self, what: str, name: str, known: list[str]) -> SpecError:
        """The error for a name that is not there, with near ones as hint."""
        from difflib import get_close_matches

        near = get_close_matches(name, known, 3)
        if near:
            hint = f"near names: {', '.join(near)}"
        else:
            hint = f"there are: {', '.join(known[:8])}" if known else f"the object has no {what}s"
        return SpecError(f"no {what} named {name!r}", path=self.path, hint=hint)


def kernel_name(name: str) -> str:
    """What the kernel is told of a name: 15 bytes, nothing but letters, digits, ``_`` and ``.``."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)[:15]


def section_map_name(object_name: str, section: str) -> str:
    """The kernel's name of a data section's map: ``mptcp_bp.rodata`` for .rodata of mptcp_bpf_rr.o.

    The section's name keeps at least 7 characters, the object's takes the rest; a section name with a second dot
    (``.data.config``) stands alone. This is what libbpf's users know from bpftool.
    """
    suffix = min(max(7, len(section)), 15)
    prefix = 0 if "." in section[1:] else min(15 - suffix, len(object_name))
    return kernel_name(object_name[:prefix] + section[:suffix])
