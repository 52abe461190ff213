# SPDX-License-Identifier: BSD-2-Clause
"""The kinds as plain data: compared by what they hold, and knowing what they refer to."""

from __future__ import annotations

import pytest

from rawbpf.btf import types as t
from rawbpf.uapi import BtfKind

CLASSES = [
    t.Int, t.Ptr, t.Array, t.Struct, t.Union, t.Enum, t.Fwd, t.Typedef, t.Volatile, t.Const, t.Restrict, t.Func,
    t.FuncProto, t.Var, t.Datasec, t.Float, t.DeclTag, t.TypeTag, t.Enum64,
]  # fmt: skip


def test_each_kind_has_its_class() -> None:
    assert {cls.kind for cls in CLASSES} == set(BtfKind) - {BtfKind.UNKN}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (t.Int("int", 4), t.Int("int", 4, t.Int.SIGNED)),
        (t.Struct("s", 4, []), t.Union("s", 4, [])),
        (t.Struct("s", 4, [t.Member("a", 1, 0)]), t.Struct("s", 4, [t.Member("a", 1, 0, 3)])),
        (t.Enum("e", 4, []), t.Enum64("e", 4, [])),
        (t.Const(1), t.Volatile(1)),
        (t.Func("f", 1, t.Func.STATIC), t.Func("f", 1, t.Func.GLOBAL)),
        (t.TypeTag(1, "x"), t.TypeTag(1, "x", attribute=True)),
        (t.Fwd("s"), t.Fwd("s", union=True)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_types_that_differ_are_not_equal(one: t.Type, other: t.Type) -> None:
    assert one != other


def test_equal_types_are_one_in_a_set() -> None:
    assert len({t.Struct("s", 4, [t.Member("a", 1, 0)]), t.Struct("s", 4, (t.Member("a", 1, 0),))}) == 1


@pytest.mark.parametrize(
    ("type", "refs"),
    [
        (t.Int("int", 4), []),
        (t.Ptr(7), [7]),
        (t.Array(3, 4, 5), [3, 4]),
        (t.Struct("s", 8, [t.Member("a", 9, 0), t.Member("b", 8, 32)]), [9, 8]),
        (t.Enum("e", 4, [t.Enumerator("A", 5)]), []),
        (t.Func("f", 6), [6]),
        (t.FuncProto(2, [t.Param("a", 3), t.Param("", 0)]), [2, 3, 0]),
        (t.Var("v", 5), [5]),
        (t.Datasec(".data", 4, [t.SecVar(9, 0, 4)]), [9]),
        (t.DeclTag(4, "tag", 1), [4]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refs(type: t.Type, refs: list[int]) -> None:
    assert type.refs() == refs


def test_repr_tells_all() -> None:
    assert repr(t.Var("v", 5, t.Var.GLOBAL)) == "Var(linkage=1, type_id=5, name='v')"


def test_int_flags() -> None:
    assert t.Int("int", 4, t.Int.SIGNED).signed
    assert not t.Int("unsigned int", 4).signed
    assert t.Int("_Bool", 1, t.Int.BOOL).bool
    assert t.Int("int", 4).bits == 32
