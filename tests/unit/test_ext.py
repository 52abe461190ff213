# SPDX-License-Identifier: BSD-2-Clause
""".BTF.ext: records by section, sizes that say how to read them, and all that can be wrong with them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from rawbpf.btf.build import Builder
from rawbpf.btf.ext import BtfExt, CoreRelo, FuncInfo, LineInfo, core_kind_name
from rawbpf.errors import BtfError, SourceLine
from rawbpf.uapi import CoreReloKind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
Blocks = list[tuple[str, list[tuple[int, ...]]]]


class Writer:
    """A .BTF.ext section in the making; strings go into the BTF beside it."""

    def __init__(self, little: bool = True) -> None:
        self.order = "<" if little else ">"
        self.builder = Builder(little=little)
        self.parts = [b"", b"", b""]  # func_info, line_info, core_relo

    def words(self, *words: int) -> bytes:
        return struct.pack(f"{self.order}{len(words)}I", *words)

    def part(self, number: int, record_size: int, blocks: Blocks) -> Writer:
        data = self.words(record_size)
        for section, records in blocks:
            data += self.words(self.builder.add_string(section), len(records))
            for record in records:
                data += self.words(*record).ljust(record_size, b"\xee")
        self.parts[number] = data
        return self

    def to_bytes(self, *, hdr_len: int = 32, magic: int = 0xEB9F, version: int = 1) -> bytes:
        head = struct.pack(f"{self.order}HBBI", magic, version, 0, hdr_len)
        at = 0
        for part in self.parts:
            head += self.words(at, len(part))
            at += len(part)
        return head[:hdr_len].ljust(hdr_len, b"\0") + b"".join(self.parts)

    def btf(self) -> Btf:
        return self.builder.to_btf()

    def ext(self) -> BtfExt:
        return BtfExt(self.to_bytes(), self.btf())


@ORDERS
def test_records_by_section(little: bool) -> None:
    writer = Writer(little)
    file, line, access = (writer.builder.add_string(text) for text in ("a.c", "  return 0;", "0:1"))
    writer.part(0, 8, [("xdp", [(0, 5), (16, 6)]), ("tc", [(0, 7)])])
    writer.part(1, 16, [("xdp", [(8, file, line, 12 << 10 | 3)])])
    writer.part(2, 16, [("tc", [(24, 9, access, 2)])])
    ext = writer.ext()
    assert ext.func_info("xdp") == [FuncInfo(0, 5), FuncInfo(16, 6)]
    assert ext.func_info("tc") == [FuncInfo(0, 7)]
    assert ext.func_info("socket") == []
    assert ext.core_relo_sections() == ["tc"]
    assert ext.core_relos("tc") == [CoreRelo(24, 9, "0:1", 2)]
    [info] = ext.line_info("xdp")
    assert info == LineInfo(8, file, line, 12 << 10 | 3)
    assert info.source(writer.btf()) == SourceLine("a.c", 12, 3, "  return 0;")


def test_longer_records_are_read_as_far_as_they_are_known() -> None:
    ext = Writer().part(0, 20, [("xdp", [(0, 5), (8, 6)])]).ext()
    assert ext.func_info("xdp") == [FuncInfo(0, 5), FuncInfo(8, 6)]


def test_blocks_of_the_same_section_are_joined() -> None:
    ext = Writer().part(0, 8, [("xdp", [(0, 5)]), ("tc", [(0, 6)]), ("xdp", [(8, 7)])]).ext()
    assert ext.func_info("xdp") == [FuncInfo(0, 5), FuncInfo(8, 7)]


def test_short_header_knows_no_relocations() -> None:
    writer = Writer().part(0, 8, [("xdp", [(0, 5)])])
    ext = BtfExt(writer.to_bytes(hdr_len=24), writer.btf())
    assert ext.func_info("xdp") == [FuncInfo(0, 5)]
    assert ext.core_relo_sections() == []


def test_longer_header_is_skipped() -> None:
    writer = Writer().part(2, 16, [("xdp", [(0, 5, 0, 2)])])
    assert BtfExt(writer.to_bytes(hdr_len=40), writer.btf()).core_relos("xdp") == [CoreRelo(0, 5, "", 2)]


def test_nothing_in_it() -> None:
    ext = Writer().ext()
    assert ext.func_info("xdp") == []
    assert ext.line_info("xdp") == []
    assert ext.core_relo_sections() == []


def edited(offset: int, *words: int) -> bytes:
    # a good section with func_info of one record, and then some words of it
    data = bytearray(Writer().part(0, 8, [("xdp", [(0, 5)])]).to_bytes())
    data[offset : offset + 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)
    return bytes(data)


WRONG = [
    ("empty", b"", "no valid header"),
    ("short", b"\x9f\xeb\1", "no valid header"),
    ("magic", Writer().to_bytes(magic=0xEB9E), "no valid header"),
    ("other_byte_order", Writer(little=False).to_bytes(), "no valid header"),
    ("version", Writer().to_bytes(version=2), "version 2"),
    ("header_too_long", edited(4, 1000), "header length 1000"),
    ("header_too_short", edited(4, 20), "header length 20"),
    ("ends_behind", edited(8, 0, 1000), "not inside"),
    ("begins_behind", edited(8, 1000, 16), "not inside"),
    ("far_behind", edited(8, 0xFFFFFFFC, 16), "not inside"),
    ("unaligned", edited(8, 2, 8), "not inside"),
    ("no_record_size", edited(8, 0, 3), "not inside"),
    ("no_blocks", edited(8, 0, 4), "holds no record"),
    ("half_a_block", edited(8, 0, 8), "in the middle of a section header"),
    ("record_size", edited(32, 4), "records of 4 bytes, 8 are needed"),
    ("record_size_of_no_words", edited(32, 10), "records of 10 bytes"),
    ("no_records", edited(40, 0), "without records"),
    ("too_many_records", edited(40, 2), "2 records of 8 bytes end behind"),
    ("far_too_many_records", edited(40, 0xFFFFFFFF), "end behind"),
]


@pytest.mark.parametrize(("data", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong(data: bytes, text: str) -> None:
    btf = Builder().to_btf()
    with pytest.raises(BtfError, match=text):
        BtfExt(data, btf)


@pytest.mark.parametrize("name", [0, 1000], ids=["empty", "no_string"])
def test_sections_without_a_name_are_left_out(name: int) -> None:
    out = Writer().part(0, 8, [("xdp", [(0, 5)]), ("xdp", [(8, 6)])]).part(2, 16, [("xdp", [(0, 5, 0, 2)])])
    data = bytearray(out.to_bytes())
    struct.pack_into("<I", data, 36, name)  # the first block
    struct.pack_into("<I", data, 32 + len(out.parts[0]) + 4, name)
    ext = BtfExt(bytes(data), out.btf())
    assert ext.func_info("xdp") == [FuncInfo(8, 6)]
    assert len(ext.warnings) == 2
    assert ext.warnings[0] == f".BTF.ext func_info has records of a section without a name (string {name})"
    assert ext.core_relo_sections() == [""]
    with pytest.raises(BtfError, match="CO-RE relocations of a section without a name"):
        ext.core_relos("")


def test_strings_of_records_are_checked_when_they_are_read() -> None:
    ext = Writer().part(2, 16, [("xdp", [(0, 5, 1000, 2)])]).ext()
    with pytest.raises(BtfError, match="string offset 1000"):
        ext.core_relos("xdp")


def test_kinds_of_core_relocations_in_words() -> None:
    assert core_kind_name(CoreReloKind.TYPE_MATCHES) == "type_matches"
    assert core_kind_name(99) == "99"
