# SPDX-License-Identifier: BSD-2-Clause
"""An ELF object of clang or gcc for BPF, as plain records. The one place that imports pyelftools.

pyelftools reads the headers; the symbol table and the relocations, which are many and of fixed size, are unpacked here.
"""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

from rawbpf.errors import ElfError

EM_BPF = 247
SHF_EXECINSTR = 4
SHN_UNDEF = 0
SHN_LORESERVE = 0xFF00

STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION = 0, 1, 2, 3
STV_DEFAULT, STV_INTERNAL, STV_HIDDEN = 0, 1, 2

_BUILD_HINT = "build it with: clang -g -O2 -target bpf -c FILE.c -o FILE.o"


class Section(NamedTuple):
    """A section. `type` is pyelftools' name of it (``SHT_PROGBITS``); `data` is empty for ``SHT_NOBITS``."""

    idx: int
    name: str
    type: str
    flags: int
    size: int
    link: int
    info: int
    data: bytes

    @property
    def executable(self) -> bool:
        """Whether it holds instructions."""
        return self.type == "SHT_PROGBITS" and bool(self.flags & SHF_EXECINSTR)


class Symbol(NamedTuple):
    """A symbol: `bind` is STB_*, `type` STT_*, `visibility` STV_*, `shndx` the index of its section or SHN_*."""

    idx: int
    name: str
    value: int
    size: int
    bind: int
    type: int
    visibility: int
    shndx: int

    @property
    def extern(self) -> bool:
        """Whether it is to be found elsewhere: in the kernel."""
        return self.shndx == SHN_UNDEF and self.bind in (STB_GLOBAL, STB_WEAK) and self.type == STT_NOTYPE

    @property
    def weak(self) -> bool:
        """Whether the program can do without."""
        return self.bind == STB_WEAK


class Relocation(NamedTuple):
    """``R_BPF_*`` at byte `offset` of the section that it is for."""

    offset: int
    type: int
    symbol: Symbol


class Elf(NamedTuple):
    """The file. `relocations` is by the index of the section that they patch."""

    little: bool
    sections: list[Section]
    symbols: list[Symbol]
    relocations: dict[int, list[Relocation]]

    def find(self, name: str) -> Section | None:
        """The first section with that name."""
        return next((section for section in self.sections if section.name == name), None)

    def section_name(self, index: int) -> str:
        """The name of a section by index; a number in words for what is none."""
        return self.sections[index].name if 0 < index < len(self.sections) else f"section {index}"


def parse_elf(data: bytes) -> Elf:
    """Read an object. Raises `ElfError` for all that is no well-formed 64-bit ``EM_BPF`` relocatable file."""
    _check_ident(data)
    from elftools.elf.elffile import ELFFile

    try:
        file = ELFFile(io.BytesIO(data))
        header = file.header
        if header["e_type"] != "ET_REL":
            raise ElfError(f"ELF type {header['e_type']} instead of a relocatable object (ET_REL)", hint=_BUILD_HINT)
        if header["e_machine"] not in ("EM_BPF", "EM_NONE", EM_BPF):
            raise ElfError(f"ELF object for {header['e_machine']} instead of EM_BPF", hint=_BUILD_HINT)
        sections = [_section(index, section, data) for index, section in enumerate(file.iter_sections())]
    except ElfError:
        raise
    except Exception as error:  # pyelftools raises whatever its parser meets in broken headers
        raise ElfError(f"corrupted ELF headers ({error or type(error).__name__})") from error
    if not sections:
        raise ElfError("the ELF file has no sections (truncated?)")
    little = file.little_endian
    symbols = _symbols(sections, little)
    return Elf(little, sections, symbols, _relocations(sections, symbols, little))


def find_section_data(data: bytes, name: str) -> bytes | None:
    """The bytes of a section of any ELF file (a vmlinux, a kernel module); None if there is none of that name."""
    from elftools.elf.elffile import ELFFile

    try:
        section = ELFFile(io.BytesIO(data)).get_section_by_name(name)
        return None if section is None else bytes(section.data())
    except Exception as error:  # as in parse_elf
        raise ElfError(f"corrupted ELF headers ({error or type(error).__name__})") from error


def _check_ident(data: bytes) -> None:
    if not data:
        raise ElfError("the file is empty")
    if data[:4] != b"\x7fELF":
        raise ElfError("not an ELF file", hint=_BUILD_HINT)
    if len(data) < 64:
        raise ElfError(f"truncated ELF file: {len(data)} bytes are less than a header")
    if data[4] == 1:
        raise ElfError("32-bit ELF file; BPF objects are 64-bit", hint=_BUILD_HINT)
    if data[4] != 2 or data[5] not in (1, 2):
        raise ElfError(f"corrupted ELF header: class {data[4]}, byte order {data[5]}")


def _section(index: int, section: object, data: bytes) -> Section:
    header = section.header  # type: ignore[attr-defined]  # pyelftools 0.31 has no types
    name = section.name  # type: ignore[attr-defined]
    begin, size = header["sh_offset"], header["sh_size"]
    kind = str(header["sh_type"])
    body = b""
    if kind not in ("SHT_NOBITS", "SHT_NULL"):
        if begin + size > len(data):
            raise ElfError(
                f"truncated ELF file: section {name or index} ends at byte {begin + size}, the file at {len(data)}"
            )
        body = data[begin : begin + size]
    return Section(index, name, kind, header["sh_flags"], size, header["sh_link"], header["sh_info"], body)


def _string(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset)
    if end < 0 or offset > len(table):
        raise ElfError(f"corrupted ELF file: no string at offset {offset}")
    return table[offset:end].decode(errors="surrogateescape")


def _symbols(sections: list[Section], little: bool) -> list[Symbol]:
    tables = [section for section in sections if section.type == "SHT_SYMTAB"]
    if len(tables) != 1:
        raise ElfError(
            "the ELF file has no symbol table" if not tables else "the ELF file has several symbol tables",
            hint=None if tables else "was it stripped? llvm-strip -g removes only debug information",
        )
    table = tables[0]
    if table.size % 24 or not 0 < table.link < len(sections):
        raise ElfError("corrupted ELF symbol table")
    strings = sections[table.link].data
    entries = struct.iter_unpack("<IBBHQQ" if little else ">IBBHQQ", table.data)
    symbols = []
    for index, (name, info, other, shndx, value, size) in enumerate(entries):
        symbols.append(Symbol(index, _string(strings, name), value, size, info >> 4, info & 0xF, other & 3, shndx))
    return symbols


def _relocations(sections: list[Section], symbols: list[Symbol], little: bool) -> dict[int, list[Relocation]]:
    found: dict[int, list[Relocation]] = {}
    for section in sections:
        if section.type != "SHT_REL":
            continue
        if section.size % 16 or not 0 < section.info < len(sections):
            raise ElfError(f"corrupted ELF relocation section {section.name}", section=section.name)
        records = found.setdefault(section.info, [])
        for offset, info in struct.iter_unpack("<QQ" if little else ">QQ", section.data):
            if info >> 32 >= len(symbols):
                raise ElfError(f"relocation at byte {offset} names symbol {info >> 32}, which does not exist")
            records.append(Relocation(offset, info & 0xFFFFFFFF, symbols[info >> 32]))
    return found
