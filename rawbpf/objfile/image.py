# SPDX-License-Identifier: BSD-2-Clause
"""Executables and shared libraries of user space: where their functions are in the file, and their USDT notes.

`rawbpf.objfile.elf` is for BPF objects. This reads what the loader of programs reads (segments), symbol tables with
their versions, and notes, straight from the bytes, which may be a memory map: of a large binary little is touched.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import ElfError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

ET_EXEC = 2
_PT_LOAD, _PF_X = 1, 1
_SHT_SYMTAB, _SHT_NOTE, _SHT_DYNSYM, _SHT_VERDEF, _SHT_VERSYM = 2, 7, 11, 0x6FFFFFFD, 0x6FFFFFFF
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_HIDDEN = 0x8000  # in .gnu.version: not the default of its name
_MACHINES = {62: "x86_64", 183: "aarch64", 3: "i386", 40: "arm", 22: "s390", 243: "riscv", 21: "ppc64"}


class Segment(NamedTuple):
    """A part of the file that is mapped into memory: `size` bytes at `offset` come to `address`."""

    address: int
    offset: int
    size: int
    executable: bool


class Section(NamedTuple):
    """A section's header."""

    name: str
    type: int
    address: int
    offset: int
    size: int
    link: int


class Function(NamedTuple):
    """A function.

    Attributes:
        name: without its version.
        version: such as ``GLIBC_2.34``, or empty.
        default: whether it is meant by the name without a version.
        address: virtual, as in the symbol table. offset: where it is in the file.
        strength: 0 for a local symbol, 1 for a weak one, 2 for a global one.
    """

    name: str
    version: str
    default: bool
    address: int
    offset: int
    size: int
    strength: int


class Image:
    """An ELF file of user space.

    Attributes:
        data: its bytes. name: what messages call it.
        machine: such as ``x86_64``; empty for one that is not known here.
        type: ``ET_EXEC`` or ET_DYN (3: shared libraries, and executables that go anywhere).
        little, wide: its byte order, and whether it is of 64 bits.

    Raises:
        ElfError: it is none, or is truncated.
    """

    def __init__(self, data: bytes | mmap, name: str = "") -> None:
        self.data = data
        self.name = name
        head = bytes(data[:64])
        if head[:4] != b"\x7fELF" or len(head) < 52 or head[4] not in (1, 2) or head[5] not in (1, 2):
            raise ElfError("this is no ELF file", path=name or None)
        self.wide, self.little = head[4] == 2, head[5] == 1
        self._order = "<" if self.little else ">"
        fields = self._unpack("HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH", 16)
        self.type, machine, _, _, self._ph, self._sh, _, _, self._ph_size, self._ph_count = fields[:10]
        self._sh_size, self._sh_count, self._names = fields[10:]
        self.machine = _MACHINES.get(machine, "")

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        layout = self._order + layout
        if offset + struct.calcsize(layout) > len(self.data):
            raise ElfError(f"the file is truncated: it ends before byte {offset}", path=self.name or None)
        return struct.unpack_from(layout, self.data, offset)

    def bytes_of(self, section: Section) -> bytes:
        """A section's contents."""
        if section.offset + section.size > len(self.data):
            raise ElfError(f"the section {section.name!r} goes beyond the end of the file", path=self.name or None)
        return bytes(self.data[section.offset : section.offset + section.size])

    @cached_property
    def segments(self) -> list[Segment]:
        """What is mapped (``PT_LOAD``)."""
        found = []
        for number in range(self._ph_count):
            at = self._ph + number * self._ph_size
            if self.wide:
                kind, flags, offset, address, _, size = self._unpack("IIQQQQ", at)
            else:
                kind, offset, address, _, size, _, flags = self._unpack("IIIIIII", at)
            if kind == _PT_LOAD:
                found.append(Segment(address, offset, size, bool(flags & _PF_X)))
        return found

    def offset_of(self, address: int) -> int | None:
        """Where in the file the byte is that comes to a virtual address; None if it comes from no file."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        return None

    @cached_property
    def sections(self) -> list[Section]:
        """The section headers; empty where they were stripped."""
        raw = []
        for number in range(self._sh_count):
            at = self._sh + number * self._sh_size
            raw.append(self._unpack("IIQQQQI" if self.wide else "IIIIIII", at))
        if not raw or self._names >= len(raw):
            return []
        names = raw[self._names]
        text = bytes(self.data[names[4] : names[4] + names[5]])
        return [Section(_string(text, name), *rest[:1], *rest[2:]) for name, *rest in raw]

    def section(self, name: str) -> Section | None:
        """The section of that name."""
        return next((section for section in self.sections if section.name == name), None)

    def functions(self) -> Iterator[Function]:
        """All functions that are defined here: the exported ones first, then those of the full symbol table."""
        for kind in (_SHT_DYNSYM, _SHT_SYMTAB):
            for section in self.sections:
                if section.type == kind:
                    yield from self._symbols(section)

    def _symbols(self, section: Section) -> Iterator[Function]:
        if section.link >= len(self.sections):
            raise ElfError(f"the symbols of {section.name!r} have no names", path=self.name or None)
        text = self.bytes_of(self.sections[section.link])
        versions = self._versions() if section.type == _SHT_DYNSYM else {}
        layout = struct.Struct(self._order + ("IBBHQQ" if self.wide else "IIIBBH"))
        data = self.bytes_of(section)
        for number, fields in enumerate(layout.iter_unpack(data[: len(data) // layout.size * layout.size])):
            if self.wide:
                name, kind, _, index, address, size = fields
            else:
                name, address, size, kind, _, index = fields
            if kind & 15 not in (_STT_FUNC, _STT_GNU_IFUNC) or not index or not address:
                continue
            offset = self.offset_of(address)
            if offset is None:
                continue
            plain, at, version = _string(text, name).partition("@")
            hidden = bool(at) and not version.startswith("@")
            if number in versions:
                version, hidden = versions[number]
            strength = {1: 2, 2: 1}.get(kind >> 4, 0)
            yield Function(plain, version.lstrip("@"), not hidden, address, offset, size, strength)

    def _versions(self) -> dict[int, tuple[str, bool]]:
        # by the symbol's number: the version's name, and whether it is not the default
        names: dict[int, str] = {}
        for section in self.sections:
            if section.type == _SHT_VERDEF:
                names = self._version_names(section)
        for section in self.sections:
            if section.type == _SHT_VERSYM:
                numbers = struct.iter_unpack(self._order + "H", self.bytes_of(section)[: section.size // 2 * 2])
                return {
                    symbol: (names[number & ~_HIDDEN], bool(number & _HIDDEN))
                    for symbol, (number,) in enumerate(numbers)
                    if number & ~_HIDDEN in names
                }
        return {}

    def _version_names(self, section: Section) -> dict[int, str]:
        text = self.bytes_of(self.sections[section.link]) if section.link < len(self.sections) else b""
        found: dict[int, str] = {}
        at, end = section.offset, section.offset + section.size
        while at + 20 <= end:
            _, flags, number, _, _, first, step = self._unpack("HHHHIII", at)
            if not flags & 1:  # VER_FLG_BASE: the file's own name
                found[number] = _string(text, self._unpack("I", at + first)[0])
            if not step:
                break
            at += step
        return found

    def notes(self, name: str) -> Iterator[tuple[str, int, bytes]]:
        """The notes of the sections with that name: owner, type, description."""
        for section in self.sections:
            if section.name != name or section.type != _SHT_NOTE:
                continue
            data, at = self.bytes_of(section), 0
            while at + 12 <= len(data):
                name_size, size, kind = struct.unpack_from(self._order + "III", data, at)
                begin = at + 12 + (name_size + 3 & ~3)
                at = begin + (size + 3 & ~3)
                if begin + size > len(data):
                    raise ElfError(f"a note of {name} is truncated", path=self.name or None)
                owner = data[begin - (name_size + 3 & ~3) :][:name_size].rstrip(b"\0")
                yield owner.decode(errors="replace"), kind, data[begin : begin + size]


def _string(text: bytes, offset: int) -> str:
    end = text.find(b"\0", offset)
    return text[offset : end if end >= 0 else len(text)].decode(errors="surrogateescape")
