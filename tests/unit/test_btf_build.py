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
