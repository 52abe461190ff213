# SPDX-License-Identifier: BSD-2-Clause
"""An ELF object of clang or gcc for BPF, as plain records. The one place that imports pyelftools.

pyelftools reads the headers; the symbol table and the relocations, which are many and of fixed size, are unpacked here.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.errors import ElfError, RawbpfError

if TYPE_CHECKING:
    from collections.abc import Mapping

EM_BPF = 247
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHN_UNDEF = 0
SHN_ABS, SHN_COMMON = 0xFFF1, 0xFFF2
SHN_XINDEX = 0xFFFF

STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION = 0, 1, 2, 3
STV_DEFAULT, STV_INTERNAL, STV_HIDDEN = 0, 1, 2

_MAX_NAME = 4096  # bytes of a symbol's or a section's
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
    """The file. `symbols_of` is by section, `relocations` by the section that they patch: both by its index.

    Those of BTF and of other debug information are a linker's business, and left aside.
    """

    little: bool
    sections: list[Section]
    symbols: list[Symbol]
    symbols_of: dict[int, list[Symbol]]
    relocations: dict[int, list[Relocation]]

    def find(self, name: str) -> Section | None:
        """The first section with that name."""
        return next((section for section in self.sections if section.name == name), None)

    def section_name(self, index: int) -> str:
        """The name of a section by index; for what is none, that of its meaning, or the number in words."""
        if 0 < index < len(self.sections):
            return self.sections[index].name
        return {SHN_ABS: "SHN_ABS", SHN_COMMON: "SHN_COMMON"}.get(index, f"section {index}")


def parse_elf(data: bytes) -> Elf:
    """Read an object. Raises `ElfError` for all that is no well-formed 64-bit ``EM_BPF`` relocatable file."""
    _check_ident(data)
    if data[4] == 1:
        raise ElfError("32-bit ELF file; BPF objects are 64-bit", hint=_BUILD_HINT)
    file, sections = _read_sections(data)
    if file["e_type"] != "ET_REL":
        raise ElfError(f"ELF type {file['e_type']} instead of a relocatable object (ET_REL)", hint=_BUILD_HINT)
    if file["e_machine"] not in ("EM_BPF", "EM_NONE", EM_BPF):
        raise ElfError(f"ELF object for {file['e_machine']} instead of EM_BPF", hint=_BUILD_HINT)
    sections = [section._replace(data=bytes(section.data)) for section in sections]
    little = data[5] == 1
    symbols = _symbols(sections, little)
    symbols_of: dict[int, list[Symbol]] = {index: [] for index in range(len(sections))}
    for symbol in symbols:
        if symbol.shndx in symbols_of:
            symbols_of[symbol.shndx].append(symbol)
    return Elf(little, sections, symbols, symbols_of, _relocations(sections, symbols, little))


def find_section_data(data: bytes, name: str) -> bytes | None:
    """The bytes of a section of any ELF file (a vmlinux, a kernel module); None if there is none of that name."""
    _check_ident(data)
    _file, sections = _read_sections(data)
    return next((bytes(section.data) for section in sections if section.name == name), None)


def _read_sections(data: bytes) -> tuple[Mapping[str, Any], list[Section]]:
    # the file header, and the sections; their data are views of the file, for a vmlinux is large
    file, headers, names = _read_headers(data)
    view = memoryview(data)
    table = bytes(_contents(names, view, "of section names"))
    sections = []
    for index, header in enumerate(headers):
        name = _string(table, header["sh_name"])
        body: Any = _contents(header, view, name or str(index))
        numbers = [header[field] for field in ("sh_flags", "sh_size", "sh_link", "sh_info")]
        sections.append(Section._make((index, name, str(header["sh_type"]), *numbers, body)))
    if sum(len(section.data) for section in sections) > len(data):
        raise ElfError("corrupted ELF file: its sections overlap")
    return file, sections


def _read_headers(data: bytes) -> tuple[Mapping[str, Any], list[Mapping[str, Any]], Mapping[str, Any]]:
    # The file header, the section headers, and that of the section with their names. pyelftools' ELFFile is not used:
    # it imports a reader of DWARF, which takes as long as opening an object.
    try:
        from elftools.common.utils import struct_parse
        from elftools.elf.structs import ELFStructs
    except ImportError as error:
        raise RawbpfError("pyelftools is not installed", hint="pip install pyelftools") from error

    stream = io.BytesIO(data)
    try:
        structs = ELFStructs(little_endian=data[5] == 1, elfclass=32 * data[4])
        structs.create_basic_structs()
        file = struct_parse(structs.Elf_Ehdr, stream, 0)
        structs.create_advanced_structs(file["e_type"], file["e_machine"], file["e_ident"]["EI_OSABI"])
        begin, size, count, names = (file[field] for field in ("e_shoff", "e_shentsize", "e_shnum", "e_shstrndx"))
        if begin and (count == 0 or names == SHN_XINDEX):  # what does not fit the file header is in section header 0
            first = struct_parse(structs.Elf_Shdr, stream, begin)
            count, names = count or first["sh_size"], first["sh_link"] if names == SHN_XINDEX else names
        if not begin or not count:
            raise ElfError("the ELF file has no sections (truncated?)")
        if size != structs.Elf_Shdr.sizeof() or begin + count * size > len(data):
            raise ElfError(f"truncated ELF file: {count} section headers at byte {begin}, the file ends at {len(data)}")
        headers = [struct_parse(structs.Elf_Shdr, stream, begin + index * size) for index in range(count)]
        return file, headers, headers[names]
    except ElfError:
        raise
    except Exception as error:  # pyelftools raises whatever its parser meets in broken headers
        raise ElfError(f"corrupted ELF headers ({str(error) or type(error).__name__})") from error


def _contents(header: Mapping[str, Any], view: memoryview, name: str) -> memoryview:
    begin, size = header["sh_offset"], header["sh_size"]
    if header["sh_type"] in ("SHT_NOBITS", "SHT_NULL"):
        return view[:0]
    if begin + size > len(view):
        raise ElfError(f"truncated ELF file: section {name} ends at byte {begin + size}, the file at {len(view)}")
    return view[begin : begin + size]


def _check_ident(data: bytes) -> None:
    if not data:
        raise ElfError("the file is empty")
    if data[:4] != b"\x7fELF":
        raise ElfError("not an ELF file", hint=_BUILD_HINT)
    if len(data) < 64:
        raise ElfError(f"truncated ELF file: {len(data)} bytes are less than a header")
    if data[4] not in (1, 2) or data[5] not in (1, 2):
        raise ElfError(f"corrupted ELF header: class {data[4]}, byte order {data[5]}")


def _string(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset, offset + _MAX_NAME)
    if end < 0:
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
        if section.type not in ("SHT_REL", "SHT_RELA"):
            continue
        if section.size % 16 or not 0 < section.info < len(sections):
            raise ElfError("corrupted ELF relocation section", section=section.name)
        target = sections[section.info]
        if not target.flags & (SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR):
            continue
        if section.type == "SHT_RELA":
            if target.executable:
                raise ElfError("relocations with addends (SHT_RELA) are none of BPF's", section=section.name)
            continue
        records = found.setdefault(section.info, [])
        for offset, info in struct.iter_unpack("<QQ" if little else ">QQ", section.data):
            if offset >= len(target.data):
                raise ElfError(f"a relocation at byte {offset} is outside of {target.name}", section=section.name)
            if info >> 32 >= len(symbols):
                raise ElfError(
                    f"the relocation at byte {offset} names symbol {info >> 32}, which does not exist",
                    section=section.name,
                )
            records.append(Relocation(offset, info & 0xFFFFFFFF, symbols[info >> 32]))
    return found
