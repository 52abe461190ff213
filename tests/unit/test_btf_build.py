# SPDX-License-Identifier: BSD-2-Clause
"""Types → bytes: what is written can be read, what is untouched stays, what does not fit is refused."""

from __future__ import annotations

import pytest

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.errors import BtfError

ALL_KINDS: list[t.Type] = [
    t.Int("int", 4, t.Int.SIGNED),
    t.Ptr(1),
    t.Array(1, 1, 3),
    t.Struct("s", 16, [t.Member("a", 1, 0), t.Member("b", 2, 64)]),
    t.Struct("bits", 4, [t.Member("x", 1, 0, 3), t.Member("y", 1, 3, 29)]),
    t.Union("u", 8, [t.Member("", 4, 0), t.Member("p", 2, 0)]),
    t.Enum("e", 4, [t.Enumerator("A", 0), t.Enumerator("B", 0xFFFFFFFF)]),
    t.Enum("se", 1, [t.Enumerator("NEG", -1), t.Enumerator("POS", 1)], signed=True),
    t.Fwd("later"),
    t.Fwd("later_u", union=True),
    t.Typedef(1, "int_t"),
    t.Volatile(1),
    t.Const(1),
    t.Restrict(2),
    t.FuncProto(1, [t.Param("a", 1), t.Param("", 0)]),
    t.Func("f", 15, t.Func.GLOBAL),
    t.Var("v", 1, t.Var.EXTERN),
    t.Datasec(".data", 4, [t.SecVar(17, 0, 4)]),
    t.Float("double", 8),
    t.DeclTag(4, "tag", 1),
    t.DeclTag(4, "attr", -1, attribute=True),
    t.TypeTag(1, "user"),
    t.TypeTag(1, "address_space(1)", attribute=True),
    t.Enum64("e64", 8, [t.Enumerator("BIG", 1 << 63)]),
    t.Enum64("se64", 8, [t.Enumerator("LOW", -(1 << 63)), t.Enumerator("MINUS", -1)], signed=True),
]


def build(types: list[t.Type], *, little: bool = True, base: Btf | None = None) -> Btf:
    builder = Builder(little=little, base=base)
    for type in types:
        builder.add(type)
    return builder.to_btf()


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
def test_all_kinds_can_be_read_back(little: bool) -> None:
    btf = build(ALL_KINDS, little=little)
    assert btf.little is little
    assert [btf.type(type_id) for type_id in btf.ids()] == ALL_KINDS


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
def test_an_untouched_copy_is_identical(little: bool) -> None:
    data = build(ALL_KINDS, little=little).data
    assert Builder.from_btf(Btf(data)).to_bytes() == data


def test_header() -> None:
    assert Builder().to_bytes() == bytes.fromhex("9feb0100 18000000 00000000 00000000 00000000 01000000 00")
    assert Builder(little=False).to_bytes() == bytes.fromhex("eb9f0100 00000018 00000000 00000000 00000000 00000001 00")


def test_strings_are_shared() -> None:
    btf = build([t.Int("int", 4), t.Typedef(1, "int"), t.Typedef(1, "nt")])
    assert btf.strings == b"\0int\0nt\0"
    assert Builder.from_btf(btf).add_string("nt") == 5
    assert Builder.from_btf(btf).add_string("t") == len(btf.strings)
    assert Builder().add_string("") == 0


def test_strings_of_the_base_are_not_repeated() -> None:
    base = build([t.Int("int", 4)])
    builder = Builder(base=base)
    assert builder.add_string("int") == 1
    assert builder.add_string("new") == base.end_str
    assert builder.add(t.Typedef(1, "new")) == 2
    assert builder.to_btf().type(2) == t.Typedef(1, "new")
    assert builder.type(1) == t.Int("int", 4)


def test_replace_keeps_ids_and_string_offsets() -> None:
    original = build(ALL_KINDS)
    builder = Builder.from_btf(original)
    builder.replace(18, t.Datasec(".data", 64, [t.SecVar(17, 8, 4), t.SecVar(17, 16, 4)]))
    changed = builder.to_btf()
    assert changed.strings == original.strings
    assert [changed.type(i) for i in changed.ids() if i != 18] == [original.type(i) for i in original.ids() if i != 18]
    assert changed.type(18) == builder.type(18) == t.Datasec(".data", 64, [t.SecVar(17, 8, 4), t.SecVar(17, 16, 4)])


def test_replacing_all_by_themselves_changes_no_byte() -> None:
    original = build(ALL_KINDS)
    builder = Builder.from_btf(original)
    for type_id in original.ids():
        builder.replace(type_id, original.type(type_id))
    assert builder.to_bytes() == original.data


def test_replace_keeps_names_in_the_middle_of_strings() -> None:
    builder = Builder()
    builder.add_string("my_int")
    builder.add(t.Int("x", 4))
    data = bytearray(builder.to_bytes())
    data[24:28] = (4).to_bytes(4, "little")  # "int", the end of "my_int"
    shared = Builder.from_btf(Btf(bytes(data)))
    assert shared.type(1).name == "int"
    shared.replace(1, t.Int("int", 8))
    assert shared.to_btf().strings == b"\0my_int\0x\0"


def test_a_struct_keeps_its_encoding_of_members() -> None:
    original = build([t.Int("int", 4), t.Struct("s", 4, [t.Member("a", 1, 0, 32)])])
    builder = Builder.from_btf(original)
    builder.replace(2, t.Struct("s", 4, [t.Member("a", 1, 0)]))
    kind_flag = 1 << 31
    assert builder.to_btf().record(2)[1] & kind_flag
    assert not build([t.Struct("s", 4, [t.Member("a", 1, 0)])]).record(1)[1] & kind_flag


def test_what_is_not_there_cannot_be_replaced_or_read() -> None:
    base = build([t.Int("int", 4)])
    for builder in (Builder(), Builder(base=base)):
        for type_id in (0, 1, 7):
            with pytest.raises(BtfError, match="not among those being built"):
                builder.replace(type_id, t.Ptr(0))
        with pytest.raises(BtfError, match="no type with id 7"):
            builder.type(7)
        assert builder.type(0) is t.VOID


@pytest.mark.parametrize(
    "type",
    [
        t.Void(),
        t.Int("a\0b", 4),
        t.Int("int", 1 << 32),
        t.Int("int", 4, bits=256),
        t.Int("int", 4, encoding=16),
        t.Int("int", 4, bit_offset=-1),
        t.Ptr(-1),
        t.Ptr(1 << 32),
        t.Array(1, 1, 1 << 32),
        t.Struct("s", -1, []),
        t.Struct("s", 4, [t.Member("m", 1, 1 << 32)]),
        t.Struct("s", 1 << 30, [t.Member("m", 1, 1 << 24, 1)]),
        t.Struct("s", 4, [t.Member("m", 1, 0, 256)]),
        t.Enum("e", 4, [t.Enumerator("A", -1)]),
        t.Enum("e", 4, [t.Enumerator("A", 1 << 31)], signed=True),
        t.Enum64("e", 8, [t.Enumerator("A", 1 << 64)]),
        t.Enum64("e", 8, [t.Enumerator("A", -(1 << 63) - 1)], signed=True),
        t.Func("f", 1, linkage=1 << 24),
        t.Var("v", 1, linkage=-1),
        t.DeclTag(1, "tag", component=1 << 31),
        t.Datasec(".data", 4, [t.SecVar(1, -4, 4)]),
    ],
    ids=repr,
)
def test_what_the_format_cannot_hold_is_refused(type: t.Type) -> None:
    builder = Builder()
    with pytest.raises(BtfError):
        builder.add(type)
    assert builder.end_id == 1


class Many(tuple[t.Param, ...]):
    """More parameters than BTF can count, without their weight."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1 << 24


def test_too_many_elements_are_refused() -> None:
    proto = t.FuncProto(0, [])
    proto.params = Many()
    with pytest.raises(BtfError, match="16777216 elements"):
        Builder().add(proto)
