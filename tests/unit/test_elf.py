# SPDX-License-Identifier: BSD-2-Clause
"""ELF: what is read of a good file, and one line for whatever is wrong with another."""

from __future__ import annotations

import struct

import pytest
from elfwriter import EXECINSTR, NOBITS, NULL, PROGBITS, REL, RELA, STRTAB, SYMTAB, ElfWriter

from rawbpf.errors import ElfError
from rawbpf.objfile.elf import (
    STB_LOCAL,
    STB_WEAK,
    STT_FUNC,
    STV_HIDDEN,
    Relocation,
    Symbol,
    find_section_data,
    parse_elf,
)

ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])


def writer(*, little: bool = True) -> ElfWriter:
    out = ElfWriter(little=little)
    code = out.section("xdp", bytes(16), flags=EXECINSTR)
    out.section(".bss", type=NOBITS, size=100)
    out.symbol("f", section=code, size=16, type=STT_FUNC)
    out.symbol("local", section=code, value=8, bind=STB_LOCAL, visibility=STV_HIDDEN)
    weak = out.symbol("weak", bind=STB_WEAK)
    out.relocations(code, [(0, weak, 1), (8, 1, 10)])
    return out


@ORDERS
def test_sections_symbols_relocations(little: bool) -> None:
    elf = parse_elf(writer(little=little).to_bytes())
    assert elf.little is little
    assert [section.name for section in elf.sections] == [
        "", "xdp", ".bss", ".relxdp", ".symtab", ".strtab", ".shstrtab",
    ]  # fmt: skip
    code, bss = elf.sections[1:3]
    assert (code.type, code.size, code.data, code.executable) == ("SHT_PROGBITS", 16, bytes(16), True)
    assert (bss.type, bss.size, bss.data, bss.executable) == ("SHT_NOBITS", 100, b"", False)
    f, local, weak = elf.symbols[1:]
    assert f == Symbol(1, "f", 0, 16, 1, STT_FUNC, 0, 1)
    assert (local.bind, local.visibility, local.value) == (STB_LOCAL, STV_HIDDEN, 8)
    assert (weak.weak, weak.extern, f.extern, f.weak) == (True, True, False, False)
    assert elf.relocations == {1: [Relocation(0, 1, weak), Relocation(8, 10, f)]}
    assert elf.symbols_of[1] == [f, local]
    assert elf.find("xdp") is code
    assert elf.find("xd") is None
    assert elf.section_name(1) == "xdp"
    assert elf.section_name(0xFFF1) == "SHN_ABS"
    assert elf.section_name(0xFFF3) == "section 65523"


@ORDERS
def test_section_of_any_elf_file(little: bool) -> None:
    out = ElfWriter(little=little)
    out.section(".BTF", b"some bytes")
    out.section(".bss", type=NOBITS, size=1 << 60)
    data = out.to_bytes(type=2, machine=62)  # a kernel: ET_EXEC, x86-64
    assert find_section_data(data, ".BTF") == b"some bytes"
    assert find_section_data(data, ".bss") == b""
    assert find_section_data(data, ".BTF.ext") is None


def test_section_of_a_32_bit_file() -> None:
    names = b"\0.BTF\0"
    header = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0, 0, 64, 0, 52, 0, 0, 40, 3, 2)
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, PROGBITS, 0, 0, 52, 4, 0, 0, 1, 0),
        (0, STRTAB, 0, 0, 56, len(names), 0, 0, 1, 0),
    ]
    data = header + b"abcd" + names.ljust(8, b"\0") + b"".join(struct.pack("<10I", *fields) for fields in sections)
    assert find_section_data(data, ".BTF") == b"abcd"
    with pytest.raises(ElfError, match="32-bit"):
        parse_elf(data)


def test_numbers_of_sections_that_do_not_fit_the_file_header() -> None:
    data = bytearray(writer().to_bytes(shnum=0, shstrndx=0xFFFF))
    shoff = struct.unpack_from("<Q", data, 0x28)[0]
    struct.pack_into("<QI", data, shoff + 32, 7, 6)  # of section 0: size, link
    assert parse_elf(bytes(data)).sections[1:] == parse_elf(writer().to_bytes()).sections[1:]


GOOD = writer().to_bytes()
SHOFF = struct.unpack_from("<Q", GOOD, 0x28)[0]


def edited(offset: int, data: bytes) -> bytes:
    return GOOD[:offset] + data + GOOD[offset + len(data) :]


def with_section(index: int, field: int, value: int) -> bytes:
    # fields by their offset in the section header: 24 offset, 32 size, 40 link, 44 info
    return edited(SHOFF + 64 * index + field, struct.pack("<Q" if field < 40 else "<I", value))


WRONG = [
    ("empty", b"", "the file is empty"),
    ("text", b"#!/bin/sh\n", "not an ELF file"),
    ("only_magic", b"\x7fELF", "truncated ELF file: 4 bytes"),
    ("header_only", GOOD[:64], "truncated"),
    ("without_last_section_header", GOOD[:-1], "truncated ELF file: 7 section headers"),
    ("class_32", writer().to_bytes(elf_class=1), "32-bit"),
    ("class_9", writer().to_bytes(elf_class=9), "class 9"),
    ("byte_order", edited(5, b"\3"), "byte order 3"),
    ("x86", writer().to_bytes(machine=62), "EM_X86_64 instead of EM_BPF"),
    ("unknown_machine", writer().to_bytes(machine=4711), "4711 instead of EM_BPF"),
    ("executable", writer().to_bytes(type=2), "ET_EXEC instead of a relocatable object"),
    ("no_sections", writer().to_bytes(shoff=0, shnum=0), "no sections"),
    ("section_headers_of_no_size", writer().to_bytes(shentsize=0), "truncated"),
    ("too_many_section_headers", writer().to_bytes(shnum=5000), "truncated"),
    ("section_headers_far_away", writer().to_bytes(shoff=1 << 62), "truncated"),
    ("no_section_of_names", writer().to_bytes(shstrndx=77), "corrupted ELF headers"),
    ("section_behind_the_end", with_section(1, 24, 1 << 40), "section xdp ends at byte"),
    ("section_too_large", with_section(1, 32, 1 << 63), "section xdp ends at byte"),
    ("section_name", with_section(1, 0, 0xFFFF), "no string at offset 65535"),
    ("symbol_name", with_section(5, 32, len(b"\0f\0local\0weak")), "no string at offset 9"),
    ("no_symbol_table", edited(SHOFF + 64 * 4 + 4, struct.pack("<I", NULL)), "no symbol table"),
    ("size_of_symbol_table", with_section(4, 32, 95), "corrupted ELF symbol table"),
    ("strings_of_symbol_table", with_section(4, 40, 99), "corrupted ELF symbol table"),
    ("size_of_relocations", with_section(3, 32, 17), "corrupted ELF relocation section"),
    ("target_of_relocations", with_section(3, 44, 99), "corrupted ELF relocation section"),
]


@pytest.mark.parametrize(("data", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong(data: bytes, text: str) -> None:
    with pytest.raises(ElfError, match=text):
        parse_elf(data)


def test_two_symbol_tables() -> None:
    out = writer()
    out.section(".symtab2", bytes(24), SYMTAB, link=1)
    with pytest.raises(ElfError, match="several symbol tables"):
        parse_elf(out.to_bytes())


def test_sections_that_overlap() -> None:
    out = writer()
    for _ in range(2):
        out.section("all", offset=64, size=500)
    with pytest.raises(ElfError, match="its sections overlap"):
        parse_elf(out.to_bytes())


def test_stripped_file_is_told_so() -> None:
    with pytest.raises(ElfError, match="no symbol table") as caught:
        parse_elf(edited(SHOFF + 64 * 4 + 4, struct.pack("<I", NULL)))
    assert caught.value.hint is not None
    assert "stripped" in caught.value.hint


@pytest.mark.parametrize(
    ("record", "text"),
    [((16, 1, 1), "outside of xdp"), ((1 << 63, 1, 1), "outside of xdp"), ((0, 99, 1), "names symbol 99")],
    ids=["behind_the_section", "far_behind", "no_such_symbol"],
)
def test_wrong_relocation(record: tuple[int, int, int], text: str) -> None:
    out = ElfWriter()
    out.relocations(out.section("xdp", bytes(16), flags=EXECINSTR), [record])
    with pytest.raises(ElfError, match=text) as caught:
        parse_elf(out.to_bytes())
    assert caught.value.section == ".relxdp"


def test_relocation_of_what_has_no_bytes() -> None:
    out = ElfWriter()
    out.relocations(out.section(".bss", type=NOBITS, size=16), [(0, 0, 1)])
    with pytest.raises(ElfError, match=r"outside of \.bss"):
        parse_elf(out.to_bytes())


def test_relocations_with_addends_are_refused_where_they_would_matter() -> None:
    out = ElfWriter()
    out.relocations(out.section(".data", bytes(16)), [], RELA)
    assert parse_elf(out.to_bytes()).relocations == {}
    out.relocations(out.section("xdp", bytes(16), flags=EXECINSTR), [], RELA)
    with pytest.raises(ElfError, match="SHT_RELA"):
        parse_elf(out.to_bytes())


def test_relocations_of_debug_information_are_left_aside() -> None:
    out = ElfWriter()
    out.relocations(out.section(".BTF", bytes(16), flags=0), [(99, 99, 1)])
    assert parse_elf(out.to_bytes()).relocations == {}


def test_two_relocation_sections_of_a_section() -> None:
    out = ElfWriter()
    code = out.section("xdp", bytes(16), flags=EXECINSTR)
    for at in (0, 8):
        out.relocations(code, [(at, 0, 1)], REL)
    assert [relo.offset for relo in parse_elf(out.to_bytes()).relocations[code]] == [0, 8]


def test_a_name_has_an_end() -> None:
    out = ElfWriter()
    out.symbol("x" * 4095)
    assert len(parse_elf(out.to_bytes()).symbols[1].name) == 4095
    out.symbol("x" * 4096)
    with pytest.raises(ElfError, match="no string at offset"):
        parse_elf(out.to_bytes())


def test_names_that_are_no_utf8_survive() -> None:
    data = writer().to_bytes().replace(b"weak\0", b"we\xe4k\0")
    assert parse_elf(data).symbols[3].name.encode(errors="surrogateescape") == b"we\xe4k"
