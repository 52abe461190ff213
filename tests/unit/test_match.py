# SPDX-License-Identifier: BSD-2-Clause
"""When types count as the same: tables of pairs, and names without flavors."""

from __future__ import annotations

import pytest
from typekit import CHAR, FIRST, FLOAT, INT, LONG, UINT, VOIDP, enum, enum64, make_btf, struct, union

from rawbpf.btf import types as t
from rawbpf.btf.match import MAX_LEVEL, essential_name, fields_compatible, types_compatible, types_match
from rawbpf.errors import BtfError

A, B, C, D = range(FIRST, FIRST + 4)
Types = list[t.Type]

NAMES = [
    ("sock", "sock"),
    ("sock___old", "sock"),
    ("sock___old___older", "sock___old"),
    ("a___b", "a"),
    ("a____b", "a____b"),
    ("a___", "a___"),
    ("___b", "___b"),
    ("a___b____c", "a"),
    ("a___b___", "a"),
    ("a___b_c", "a"),
    ("a_____b", "a_____b"),
    ("", ""),
    ("___", "___"),
    ("a___b___c____d", "a___b"),
]


@pytest.mark.parametrize(("name", "essential"), NAMES, ids=[name or "empty" for name, _ in NAMES])
def test_essential_name(name: str, essential: str) -> None:
    assert essential_name(name) == essential


# name of the pair, local types, target types, whether the first ones are compatible, whether they match
PAIRS: list[tuple[str, Types, Types, bool, bool]] = [
    ("int", [t.Int("int", 4, 1)], [t.Int("int", 4, 1)], True, True),
    ("int_size", [t.Int("int", 4, 1)], [t.Int("int", 8, 1)], True, False),
    ("int_sign", [t.Int("int", 4, 1)], [t.Int("int", 4)], True, False),
    ("int_name", [t.Int("int", 4, 1)], [t.Int("s32", 4, 1)], True, False),
    ("int_encoding", [t.Int("c", 1, t.Int.CHAR)], [t.Int("c", 1, t.Int.BOOL)], True, True),
    ("int_bitfield", [t.Int("int", 4, 1)], [t.Int("int", 4, 1, 3, 2)], False, True),
    ("int_and_float", [t.Int("x", 4)], [t.Float("x", 4)], False, False),
    ("float", [t.Float("float", 4)], [t.Float("float", 4)], False, False),
    ("typedef_of_the_same", [t.Typedef(INT, "a")], [t.Typedef(INT, "b")], True, True),
    ("qualifiers", [t.Const(INT)], [t.Volatile(INT)], True, True),
    ("pointers", [t.Ptr(INT)], [t.Ptr(INT)], True, True),
    ("pointers_to_others", [t.Ptr(INT)], [t.Ptr(LONG)], True, False),
    ("pointer_to_void", [t.Ptr(0)], [t.Ptr(INT)], False, False),
    ("pointers_to_void", [t.Ptr(0)], [t.Ptr(0)], True, True),
    ("pointer_to_struct", [t.Ptr(B), struct("s")], [t.Ptr(B), struct("r")], True, False),
    ("pointer_to_other_struct_of_the_name",
     [t.Ptr(B), struct("s", ("x", INT, 0))], [t.Ptr(B), struct("s")], True, True),
    ("pointer_to_struct_or_union", [t.Ptr(B), struct("s")], [t.Ptr(B), union("s")], False, False),
    ("pointer_to_forward", [t.Ptr(B), struct("s")], [t.Ptr(B), t.Fwd("s")], False, True),
    ("pointer_to_forward_union", [t.Ptr(B), struct("s")], [t.Ptr(B), t.Fwd("s", union=True)], False, False),
    ("forward_pointer", [t.Ptr(B), t.Fwd("s")], [t.Ptr(B), struct("s")], False, True),
    ("forward_pointer_union", [t.Ptr(B), t.Fwd("s", union=True)], [t.Ptr(B), union("s")], False, True),
    ("forward_pointer_wrong", [t.Ptr(B), t.Fwd("s")], [t.Ptr(B), union("s")], False, False),
    ("forwards", [t.Fwd("s")], [t.Fwd("s")], True, True),
    ("forwards_of_other_kinds", [t.Fwd("s")], [t.Fwd("s", union=True)], True, False),
    ("forward_and_struct", [t.Fwd("s")], [struct("s")], False, False),
    ("array", [t.Array(INT, INT, 3)], [t.Array(INT, INT, 3)], True, True),
    ("array_length", [t.Array(INT, INT, 3)], [t.Array(INT, INT, 4)], True, False),
    ("array_element", [t.Array(INT, INT, 3)], [t.Array(LONG, INT, 3)], True, False),
    ("array_and_pointer", [t.Array(INT, INT, 3)], [t.Ptr(INT)], False, False),
    ("struct_same", [struct("s", ("x", INT, 0))], [struct("s", ("x", INT, 0))], True, True),
    ("struct_elsewhere", [struct("s", ("x", INT, 0))], [struct("s", ("y", INT, 0), ("x", INT, 8))], True, True),
    ("struct_member_missing", [struct("s", ("x", INT, 0))], [struct("s", ("y", INT, 0))], True, False),
    ("struct_member_type", [struct("s", ("x", INT, 0))], [struct("s", ("x", UINT, 0))], True, False),
    ("struct_fewer_members",
     [struct("s", ("x", INT, 0), ("y", INT, 4))], [struct("s", ("x", INT, 0))], True, False),
    ("struct_flavored", [struct("s___v1", ("x", INT, 0))], [struct("s", ("x", INT, 0))], True, True),
    ("struct_flavored_member", [struct("s", ("x___v1", INT, 0))], [struct("s", ("x", INT, 0))], True, True),
    ("struct_in_struct",
     [struct("s", ("in", B, 0)), struct("in", ("x", INT, 0))],
     [struct("s", ("in", B, 0)), struct("in", ("y", INT, 0))], True, False),
    ("struct_behind_member_pointer",
     [struct("s", ("in", C, 0)), struct("in", ("x", INT, 0)), t.Ptr(B)],
     [struct("s", ("in", C, 0)), struct("in", ("y", INT, 0)), t.Ptr(B)], True, True),
    ("struct_second_anonymous",
     [struct("s", ("", B, 0)), struct("", ("x", INT, 0))],
     [struct("s", ("", B, 0), ("", C, 0)), struct("", ("y", INT, 0)), struct("", ("x", INT, 0))], True, True),
    ("struct_and_union", [struct("s")], [union("s")], False, False),
    ("enum", [enum("e", A=1)], [enum("e", B=1, A=2)], True, True),
    ("enum_missing", [enum("e", A=1, B=2)], [enum("e", A=1, C=2)], True, False),
    ("enum_fewer", [enum("e", A=1, A___v2=2)], [enum("e", A=1)], True, False),
    ("enum_flavor", [enum("e", A___v1=1)], [enum("e", A=1)], True, True),
    ("enum_size", [enum("e", A=1)], [enum("e", size=1, A=1)], True, False),
    ("enum_and_enum64", [enum("e", A=1)], [enum64("e", A=1)], True, False),
    ("enum_and_int", [enum("e", A=1)], [t.Int("e", 4)], False, False),
    ("proto", [t.FuncProto(INT, [t.Param("a", LONG)])], [t.FuncProto(INT, [t.Param("b", LONG)])], True, True),
    ("proto_return", [t.FuncProto(INT, [])], [t.FuncProto(0, [])], False, False),
    ("proto_return_size", [t.FuncProto(INT, [])], [t.FuncProto(LONG, [])], True, False),
    ("proto_params", [t.FuncProto(INT, [t.Param("a", INT)])], [t.FuncProto(INT, [])], False, False),
    ("proto_param_type",
     [t.FuncProto(0, [t.Param("a", INT)])], [t.FuncProto(0, [t.Param("a", VOIDP)])], False, False),
    ("proto_param_size",
     [t.FuncProto(0, [t.Param("a", INT)])], [t.FuncProto(0, [t.Param("a", CHAR)])], True, False),
    ("proto_variadic",
     [t.FuncProto(0, [t.Param("", 0)])], [t.FuncProto(0, [t.Param("", 0)])], True, True),
    ("void_and_int", [t.Typedef(0, "v")], [t.Typedef(INT, "v")], False, False),
]  # fmt: skip


@pytest.mark.parametrize(("local", "target", "expected"), [p[1:4] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_compatible(local: Types, target: Types, expected: bool) -> None:
    assert types_compatible(make_btf(*local), A, make_btf(*target), A) is expected


@pytest.mark.parametrize(("local", "target", "expected"), [(*p[1:3], p[4]) for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_match(local: Types, target: Types, expected: bool) -> None:
    assert types_match(make_btf(*local), A, make_btf(*target), A) is expected


FIELDS: list[tuple[str, Types, Types, bool]] = [
    ("struct_for_union", [struct("s")], [union("r")], True),
    ("ints", [t.Int("a", 4)], [t.Int("b", 8, t.Int.SIGNED)], True),
    ("bitfield_int", [t.Int("a", 4)], [t.Int("b", 4, 0, 3, 5)], False),
    ("pointers", [t.Ptr(0)], [t.Ptr(INT)], True),
    ("floats", [t.Float("float", 4)], [t.Float("double", 8)], True),
    ("arrays", [t.Array(INT, INT, 1)], [t.Array(LONG, INT, 9)], True),
    ("arrays_of_other_kinds", [t.Array(INT, INT, 1)], [t.Array(FLOAT, INT, 1)], False),
    ("forwards", [t.Fwd("s")], [t.Fwd("s")], True),
    ("forwards_of_other_names", [t.Fwd("s")], [t.Fwd("r")], False),
    ("prototypes", [t.FuncProto(0, [])], [t.FuncProto(0, [])], False),
    ("void", [t.Typedef(0, "v")], [t.Typedef(0, "v")], False),
]


@pytest.mark.parametrize(("local", "target", "expected"), [p[1:] for p in FIELDS], ids=[p[0] for p in FIELDS])
def test_fields(local: Types, target: Types, expected: bool) -> None:
    assert fields_compatible(make_btf(*local), A, make_btf(*target), A) is expected


@pytest.mark.parametrize("question", [types_compatible, types_match, fields_compatible], ids=lambda f: f.__name__)
def test_nesting_has_an_end(question: object) -> None:
    assert callable(question)
    chain = [t.Array(FIRST + n, INT, 1) for n in range(1, MAX_LEVEL + 1)]
    btf = make_btf(*chain, t.Int("end", 4))
    with pytest.raises(BtfError, match="nest more than"):
        question(btf, A, btf, A)
    assert question(btf, B, btf, B)


def test_types_that_hold_themselves() -> None:
    btf = make_btf(struct("s", ("a", A, 0), ("b", A, 0)))
    with pytest.raises(BtfError, match="nest more than"):
        types_match(btf, A, btf, A)
    assert types_compatible(btf, A, btf, A)


def test_pairs_are_compared_only_once() -> None:
    # each struct holds the next one twice: 2^30 ways to the innermost
    chain = [struct(f"s{n}", ("a", FIRST + n, 0), ("b", FIRST + n, 0)) for n in range(1, 31)]
    btf = make_btf(*chain, struct("end", ("x", INT, 0)))
    assert types_match(btf, A, btf, A)
    protos = [t.FuncProto(0, [t.Param("a", FIRST + n), t.Param("b", FIRST + n)]) for n in range(1, 31)]
    btf = make_btf(*protos, t.FuncProto(0, []))
    assert types_compatible(btf, A, btf, A)


def test_alignment_looks_at_each_type_only_once() -> None:
    chain = [struct(f"s{n}", ("a", FIRST + n, 0), ("b", FIRST + n, 0)) for n in range(1, 61)]
    assert make_btf(*chain, struct("end", ("x", INT, 0))).align_of(A) == 4
