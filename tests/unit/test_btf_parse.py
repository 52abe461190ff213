# SPDX-License-Identifier: BSD-2-Clause
"""Bytes → types: what is found by id and by name, what is skipped, what is refused."""

from __future__ import annotations

import struct

import pytest
from typekit import BOOL, CHAR, FIRST, INT, LONG, UINT, VOIDP, make_btf

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.errors import BtfError
from rawbpf.uapi import BtfKind

NEW_KIND = 25


def blob(words: list[int], strings: bytes = b"\0", *, hdr_len: int = 24, **header: int) -> bytes:
    """A blob by hand, little-endian; `header` overrides fields."""
    types = struct.pack(f"<{len(words)}I", *words)
    fields = {
        "magic": 0xEB9F, "version": 1, "flags": 0, "hdr_len": hdr_len,
        "type_off": 0, "type_len": len(types), "str_off": len(types), "str_len": len(strings),
    } | header  # fmt: skip
    return struct.pack("<HBBIIIII", *fields.values()).ljust(hdr_len, b"\0") + types + strings


def with_layout(words: list[int], strings: bytes, layout: list[tuple[int, int]]) -> bytes:
    """A blob as Linux 7.1 writes it: types, then the sizes of the records of each kind, then strings."""
    types = struct.pack(f"<{len(words)}I", *words)
    table = b"".join(struct.pack("<BBH", info, element, 0) for info, element in layout)
    header = struct.pack(
        "<HBBIIIIIII", 0xEB9F, 1, 0, 32, 0, len(types), len(types) + len(table), len(strings), len(types), len(table)
    )
    return header + types + table + strings


INT_RECORD = [1, BtfKind.INT << 24, 4, 32]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "shorter than its header"),
        (blob(INT_RECORD, b"\0int\0")[:20], "shorter than its header"),
        (b"\x7fELF" + bytes(60), "magic number is 7f45"),
        (blob([], version=2), "version 2"),
        (blob([], hdr_len=24)[:4] + b"\x08\0\0\0" + blob([])[8:], "header length 8"),
        (blob([])[:4] + b"\xff\xff\0\0" + blob([])[8:], "header length 65535"),
        (blob([], type_len=8), "type section .* ends behind"),
        (blob([], str_len=2), "string section .* ends behind"),
        (blob([], type_off=0xFFFFFFFF), "type section .* ends behind"),
        (blob([0], type_len=2), "not aligned"),
        (blob([], b"x\0"), "does not start with an empty string"),
        (blob([], b""), "does not start with an empty string"),
        (blob([], b"\0abc"), "not terminated"),
        (blob([1, BtfKind.INT << 24, 4], b"\0int\0"), "type 1 ends behind"),
        (blob([1, BtfKind.INT << 24], b"\0int\0"), "type 1 ends behind"),
        (blob([0, BtfKind.STRUCT << 24 | 0xFFFFFF, 4]), "type 1 ends behind"),
        (blob([*INT_RECORD, 0, 0, 0]), "kind 0 is not known"),
        (blob([0, NEW_KIND << 24, 0]), f"kind {NEW_KIND} is not known"),
    ],
)
def test_bad_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BtfError, match=message):
        Btf(data)


def test_broken_records_are_refused_when_asked_for() -> None:
    btf = Btf(blob([99, BtfKind.INT << 24, 4, 32]))
    with pytest.raises(BtfError, match="string offset 99"):
        btf.type(1)
    for type_id in (2, -1, 1 << 40):
        with pytest.raises(BtfError, match=f"no type with id {type_id}"):
            btf.type(type_id)


def test_void_is_type_0() -> None:
    btf = make_btf()
    assert btf.type(0) is t.VOID
    assert (btf.kind(0), btf.name_of(0)) == (0, "")


def test_a_layout_section_tells_how_to_skip_an_unknown_kind() -> None:
    known = [(0, 0)] * NEW_KIND
    strings = b"\0int\0new\0"
    words = [*INT_RECORD, 5, NEW_KIND << 24 | 2, 0, 11, 12, 13, 14, 15, *INT_RECORD]
    btf = Btf(with_layout(words, strings, [*known, (4, 8)]))
    assert list(btf.ids()) == [1, 2, 3]
    assert btf.kind(2) == NEW_KIND
    assert btf.name_of(2) == "new"
    assert btf.type(3) == t.Int("int", 4)
    with pytest.raises(BtfError, match=f"kind {NEW_KIND} is not known"):
        btf.type(2)
    with pytest.raises(BtfError, match=f"kind {NEW_KIND}"):
        Builder.from_btf(btf).to_bytes()


def test_a_copy_drops_the_layout_section() -> None:
    btf = Btf(with_layout(INT_RECORD, b"\0int\0", [(0, 0)] * 20))
    assert Builder.from_btf(btf).to_bytes() == blob(INT_RECORD, b"\0int\0", hdr_len=32)


def test_a_copy_keeps_the_size_of_the_header() -> None:
    data = blob(INT_RECORD, b"\0int\0", hdr_len=32)
    assert Builder.from_btf(Btf(data)).to_bytes() == data


def test_vlen_has_24_bits() -> None:
    count = 70_000
    section = t.Datasec(".rodata", 4 * count, [t.SecVar(FIRST, 4 * i, 4) for i in range(count)])
    btf = make_btf(t.Var("v", INT), section, t.Typedef(INT, "behind"))
    assert btf.type(FIRST + 1) == section
    assert btf.type(FIRST + 2) == t.Typedef(INT, "behind")


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
def test_names(little: bool) -> None:
    btf = make_btf(
        t.Struct("sock", 4, []), t.Fwd("sock"), t.Typedef(INT, "my_sock"), t.Struct("sock___new", 4, []), little=little
    )
    assert btf.find_all("sock") == [FIRST, FIRST + 1]
    assert btf.find("sock", BtfKind.FWD) == FIRST + 1
    assert btf.find("sock", BtfKind.ENUM) is None
    assert btf.find("soc") is None
    assert btf.find_prefix("sock___") == [FIRST + 3]
    assert btf.find_prefix("my_sock") == []


def test_names_that_share_a_suffix_are_found() -> None:
    btf = Btf(blob([1, BtfKind.INT << 24, 4, 32, 4, BtfKind.INT << 24, 4, 32], b"\0my_int\0"))
    assert (btf.find("my_int"), btf.find("int")) == (1, 2)


def test_split_btf_goes_on_where_its_base_ends() -> None:
    base = make_btf(t.Struct("sock", 4, []))
    split = make_btf(t.Ptr(FIRST), t.Struct("sock", 8, [t.Member("int", INT, 0)]), t.Typedef(INT, "own"), base=base)
    assert list(split.ids()) == [FIRST + 1, FIRST + 2, FIRST + 3]
    assert len(split) == FIRST + 4
    assert split.type(FIRST) is base.type(FIRST)
    assert split.find_all("sock") == [FIRST, FIRST + 2]
    assert split.find("int") == INT
    assert split.find("own") == FIRST + 3
    assert b"sock" not in split.strings
    assert b"int" not in split.strings
    assert split.name_of(FIRST + 3) == "own"
    assert split.type(FIRST + 2) == t.Struct("sock", 8, [t.Member("int", INT, 0)])
    assert split.size_of(FIRST + 1) == base.ptr_size
    assert base.find("own") is None


def test_sizes() -> None:
    ids = range(FIRST, FIRST + 20)
    btf = make_btf(
        t.Array(INT, UINT, 3), t.Array(ids[0], UINT, 4), t.Const(ids[1]), t.Typedef(ids[2], "t"), t.Var("v", ids[3])
    )
    assert [btf.size_of(type_id) for type_id in (INT, VOIDP, BOOL, ids[0], ids[1], ids[4])] == [4, 8, 1, 12, 48, 48]
    with pytest.raises(BtfError, match="no size"):
        btf.size_of(0)


def test_pointers_are_as_large_as_long() -> None:
    builder = Builder()
    builder.add(t.Ptr(0))
    assert builder.to_btf().size_of(1) == 8
    builder.add(t.Int("long unsigned int", 4))
    assert builder.to_btf().size_of(1) == 4


def test_alignment() -> None:
    member = t.Member
    btf = make_btf(
        t.Struct("plain", 16, [member("c", CHAR, 0), member("l", LONG, 64)]),
        t.Struct("packed", 9, [member("c", CHAR, 0), member("l", LONG, 8)]),
        t.Struct("short", 9, [member("l", LONG, 0), member("c", CHAR, 64)]),
        t.Array(FIRST, UINT, 2),
    )
    assert [btf.align_of(FIRST + i) for i in range(4)] == [8, 1, 1, 8]
    with pytest.raises(BtfError, match="no alignment"):
        btf.align_of(0)


def test_resolve_stops_at_typedefs_if_told() -> None:
    btf = make_btf(t.Typedef(FIRST + 1, "t"), t.Const(FIRST + 2), t.TypeTag(INT, "user"), t.Volatile(FIRST))
    assert btf.resolve(FIRST + 3) == INT
    assert btf.resolve(FIRST + 3, typedefs=False) == FIRST


def test_chains_without_end_are_refused() -> None:
    btf = make_btf(t.Const(FIRST + 1), t.Typedef(FIRST, "loop"), t.Struct("own", 4, [t.Member("m", FIRST + 2, 0)]))
    for walk in (btf.resolve, btf.size_of, btf.align_of):
        with pytest.raises(BtfError, match="more than 64"):
            walk(FIRST)
    with pytest.raises(BtfError, match="more than 64"):
        btf.align_of(FIRST + 2)


def test_bytes_that_are_no_utf8_come_through_as_names() -> None:
    btf = Btf(blob([1, BtfKind.INT << 24, 4, 32], b"\0\xff\0"))
    assert btf.find("\udcff") == 1
    assert Builder.from_btf(btf).add_string("\udcff") == 1
