# SPDX-License-Identifier: BSD-2-Clause
"""CO-RE on hand-built types: each kind of relocation, and those that are wrong."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from corekit import A, B, C, resolve
from typekit import FLOAT, INT, LONG, UINT, VOIDP, enum, enum64, make_btf, struct, union

from rawbpf.btf import types as t
from rawbpf.btf.ext import CORE_KIND_NAMES
from rawbpf.errors import CoreRelocationError
from rawbpf.uapi import CoreReloKind as Kind

POISON = None


class Case(NamedTuple):
    """A relocation of `kind` for `access` of the first local type: the value for local types, that for the target's."""

    id: str
    kind: Kind
    access: str
    local: list[t.Type]
    target: list[t.Type]
    old: int
    new: int | None


def offset(id: str, access: str, local: list[t.Type], target: list[t.Type], old: int, new: int | None) -> Case:
    return Case(id, Kind.FIELD_BYTE_OFFSET, access, local, target, old, new)


PAIR = struct("pair", ("x", INT, 0), ("y", INT, 4), size=8)
INNER = struct("inner", ("x", INT, 0), ("y", INT, 4), size=8)
MOVED = struct("pair", ("gap", LONG, 0), ("y", INT, 8), ("x", INT, 12), size=16)

FIELDS = [
    offset("moved", "0:1", [PAIR], [MOVED], 4, 8),
    offset("first", "0:0", [PAIR], [MOVED], 0, 12),
    offset("missing", "0:0", [struct("pair", ("no", INT, 0))], [MOVED], 0, POISON),
    offset("missing_type", "0:1", [PAIR], [struct("other", ("y", INT, 0))], 4, POISON),
    offset("other_kind_of_type", "0:1", [PAIR], [union("pair", ("y", INT, 0))], 4, POISON),
    offset("root_element", "3:1", [PAIR], [MOVED], 3 * 8 + 4, 3 * 16 + 8),
    offset("whole_root", "0", [PAIR], [MOVED], 0, 0),
    offset("root_is_typedef", "0:1", [t.Typedef(B, "p"), PAIR], [MOVED, t.Typedef(A, "p")], 4, 8),
    offset("root_is_int", "5", [t.Int("s32", 4)], [t.Int("s32", 8)], 20, 40),
    offset(
        "nested", "0:1:1",
        [struct("s", ("a", INT, 0), ("in", B, 4)), INNER],
        [struct("s", ("in", B, 16)), struct("inner", ("y", INT, 8))],
        8, 24,
    ),
    offset(
        "names_of_nested_types_do_not_count", "0:0:1",
        [struct("s", ("in", B, 0)), INNER], [struct("s", ("in", B, 8)), struct("elsewhere", ("y", INT, 8))],
        4, 16,
    ),
    offset(
        "struct_became_union", "0:0:1",
        [struct("s", ("in", B, 0)), INNER], [struct("s", ("in", B, 8)), union("inner", ("y", INT, 0))],
        4, 8,
    ),
    offset(
        "anonymous_in_target", "0:0", [struct("s", ("x", INT, 0))],
        [struct("s", ("a", INT, 0), ("", B, 8)), union("", ("b", INT, 0), ("", C, 0)), struct("", ("x", INT, 4))],
        0, 12,
    ),
    offset(
        "anonymous_in_object", "0:1:0", [struct("s", ("a", INT, 0), ("", B, 8)), struct("", ("x", INT, 4))],
        [struct("s", ("x", INT, 20))], 12, 20,
    ),
    offset(
        "second_of_two_anonymous", "0:0", [struct("s", ("x", INT, 0))],
        [struct("s", ("", B, 0), ("", C, 8)), struct("", ("w", INT, 0)), struct("", ("x", INT, 4))],
        0, 12,
    ),
    offset(
        "of_other_type_in_one_anonymous_of_two", "0:0", [struct("s", ("x", INT, 0))],
        [struct("s", ("", B, 0), ("", C, 8)), struct("", ("x", VOIDP, 0)), struct("", ("x", INT, 4))],
        0, 12,
    ),
    offset(
        "array", "0:1:3",
        [struct("s", ("a", INT, 0), ("v", B, 4)), t.Array(INT, INT, 4)],
        [struct("s", ("v", B, 16)), t.Array(LONG, INT, 4)],
        16, 40,
    ),
    offset(
        "array_of_arrays", "0:0:1:2",
        [struct("s", ("m", B, 0)), t.Array(C, INT, 2), t.Array(INT, INT, 3)],
        [struct("s", ("m", B, 8)), t.Array(C, INT, 2), t.Array(INT, INT, 5)],
        20, 8 + 28,
    ),
    offset(
        "array_of_structs", "0:0:2:1",
        [struct("s", ("v", B, 0)), t.Array(C, INT, 3), INNER],
        [struct("s", ("v", B, 0)), t.Array(C, INT, 3), struct("i", ("y", INT, 0), size=12)],
        20, 24,
    ),
    offset(
        "array_too_short", "0:0:3", [struct("s", ("v", B, 0)), t.Array(INT, INT, 4)],
        [struct("s", ("v", B, 0)), t.Array(INT, INT, 3)], 12, POISON,
    ),
    offset(
        "flexible_array_in_target", "0:0:3", [struct("s", ("v", B, 0)), t.Array(INT, INT, 4)],
        [struct("s", ("n", INT, 0), ("v", B, 4)), t.Array(INT, INT, 0)], 12, 16,
    ),
    offset(
        "flexible_array_in_object", "0:0:9", [struct("s", ("v", B, 0)), t.Array(INT, INT, 0)],
        [struct("s", ("v", B, 4)), t.Array(INT, INT, 10)], 36, 40,
    ),
    offset(
        "empty_array_that_is_not_last", "0:0:0", [struct("s", ("v", B, 0)), t.Array(INT, INT, 1)],
        [struct("s", ("v", B, 4), ("after", INT, 4)), t.Array(INT, INT, 0)], 0, POISON,
    ),
    offset(
        "no_array_any_more", "0:0:0", [struct("s", ("v", B, 0)), t.Array(INT, INT, 1)],
        [struct("s", ("v", INT, 4))], 0, POISON,
    ),
    offset(
        "qualified_and_typedefed", "0:0",
        [struct("s", ("x", B, 0)), t.Const(C), t.Typedef(INT, "s32")],
        [struct("s", ("x", B, 4)), t.Volatile(C), t.TypeTag(INT, "user")], 0, 4,
    ),
    offset("int_became_pointer", "0:0", [struct("s", ("x", INT, 0))], [struct("s", ("x", VOIDP, 4))], 0, POISON),
    offset("int_became_float", "0:0", [struct("s", ("x", INT, 0))], [struct("s", ("x", FLOAT, 4))], 0, POISON),
    offset("float", "0:0", [struct("s", ("x", FLOAT, 0))], [struct("s", ("x", FLOAT, 4))], 0, 4),
    offset(
        "pointer_to_anything", "0:0", [struct("s", ("p", VOIDP, 0))], [struct("s", ("p", B, 4)), t.Ptr(INT)], 0, 4
    ),
    offset(
        "enum_became_enum64", "0:0", [struct("s", ("e", B, 0)), enum("e", A=1)],
        [struct("s", ("e", B, 8)), enum64("e", A=1)], 0, 8,
    ),
    offset(
        "enum_of_other_name", "0:0", [struct("s", ("e", B, 0)), enum("e", A=1)],
        [struct("s", ("e", B, 8)), enum("f", A=1)], 0, POISON,
    ),
    offset(
        "enum_of_other_flavor", "0:0", [struct("s", ("e", B, 0)), enum("e___new", A=1)],
        [struct("s", ("e", B, 8)), enum("e", A=1)], 0, 8,
    ),
    offset(
        "anonymous_enum", "0:0", [struct("s", ("e", B, 0)), enum("", A=1)],
        [struct("s", ("e", B, 8)), enum("f", A=1)], 0, 8,
    ),
    offset("flavor_of_object", "0:1", [PAIR.__class__("pair___v2", 8, PAIR.members)], [MOVED], 4, 8),
    offset("flavor_of_target", "0:1", [PAIR], [MOVED.__class__("pair___v5", 16, MOVED.members)], 4, 8),
    offset("two_flavors_in_one_name", "0:0", [struct("a___b___c", ("x", INT, 0))], [struct("a___b", ("x", INT, 4))],
           0, 4),
    offset("no_flavor", "0:0", [struct("a____b", ("x", INT, 0))], [struct("a", ("x", INT, 4))], 0, POISON),
    Case("exists", Kind.FIELD_EXISTS, "0:1", [PAIR], [MOVED], 1, 1),
    Case("exists_not", Kind.FIELD_EXISTS, "0:0", [struct("pair", ("no", INT, 0))], [MOVED], 1, 0),
    Case("exists_not_with_that_type", Kind.FIELD_EXISTS, "0:0", [struct("pair", ("x", VOIDP, 0))], [MOVED], 1, 0),
    Case("exists_no_type", Kind.FIELD_EXISTS, "0:0", [PAIR], [], 1, 0),
    Case("exists_element", Kind.FIELD_EXISTS, "0:0:2", [struct("s", ("v", B, 0)), t.Array(INT, INT, 4)],
         [struct("s", ("v", B, 0)), t.Array(INT, INT, 2)], 1, 0),
    Case("size", Kind.FIELD_BYTE_SIZE, "0:0", [struct("s", ("x", INT, 0))], [struct("s", ("x", LONG, 0))], 4, 8),
    Case("size_missing", Kind.FIELD_BYTE_SIZE, "0:0", [struct("s", ("x", INT, 0))], [struct("s")], 4, POISON),
    Case("size_of_array", Kind.FIELD_BYTE_SIZE, "0:0", [struct("s", ("v", B, 0)), t.Array(INT, INT, 3)],
         [struct("s", ("v", B, 0)), t.Array(LONG, INT, 5)], 12, 40),
    Case("size_of_element", Kind.FIELD_BYTE_SIZE, "0:0:1", [struct("s", ("v", B, 0)), t.Array(INT, INT, 3)],
         [struct("s", ("v", B, 0)), t.Array(LONG, INT, 5)], 4, 8),
    Case("signed", Kind.FIELD_SIGNED, "0:0", [struct("s", ("x", UINT, 0))], [struct("s", ("x", INT, 0))], 0, 1),
    Case("signed_enum", Kind.FIELD_SIGNED, "0:0", [struct("s", ("x", B, 0)), enum("e", A=1)],
         [struct("s", ("x", B, 0)), enum("e", signed=True, A=-1)], 0, 1),
    Case("signed_enum64", Kind.FIELD_SIGNED, "0:0", [struct("s", ("x", B, 0)), enum64("e", signed=True, A=-1)],
         [struct("s", ("x", B, 0)), enum64("e", A=1)], 1, 0),
    Case("signed_pointer", Kind.FIELD_SIGNED, "0:0", [struct("s", ("x", VOIDP, 0))], [struct("s", ("x", VOIDP, 0))],
         0, 0),
    Case("signed_missing", Kind.FIELD_SIGNED, "0:0", [struct("s", ("x", INT, 0))], [struct("s")], 1, POISON),
]  # fmt: skip

SOME = struct("s", ("x", INT, 0), size=8)

TYPES = [
    Case("type_exists", Kind.TYPE_EXISTS, "0", [SOME], [struct("s", ("else", LONG, 0))], 1, 1),
    Case("type_exists_not", Kind.TYPE_EXISTS, "0", [SOME], [struct("r")], 1, 0),
    Case("type_exists_as_other_kind", Kind.TYPE_EXISTS, "0", [SOME], [union("s")], 1, 0),
    Case("type_size", Kind.TYPE_SIZE, "0", [SOME], [struct("s", size=24)], 8, 24),
    Case("type_size_missing", Kind.TYPE_SIZE, "0", [SOME], [], 8, 0),
    Case("type_size_typedef", Kind.TYPE_SIZE, "0", [t.Typedef(INT, "n")], [t.Typedef(LONG, "n")], 4, 8),
    Case("type_id_local", Kind.TYPE_ID_LOCAL, "0", [SOME], [], A, A),
    Case("type_id_local_anonymous", Kind.TYPE_ID_LOCAL, "0", [struct("", ("x", INT, 0))], [], A, A),
    Case("type_id_target", Kind.TYPE_ID_TARGET, "0", [SOME], [struct("r"), struct("s")], A, B),
    Case("type_id_target_missing", Kind.TYPE_ID_TARGET, "0", [SOME], [], A, 0),
    Case("type_matches", Kind.TYPE_MATCHES, "0", [SOME], [struct("s", ("y", INT, 0), ("x", INT, 4))], 1, 1),
    Case("type_matches_not", Kind.TYPE_MATCHES, "0", [SOME], [struct("s", ("x", LONG, 0))], 1, 0),
    Case("type_matches_missing", Kind.TYPE_MATCHES, "0", [SOME], [], 1, 0),
]

COLOR = enum("color", RED=0, GREEN=1)

ENUMS = [
    Case("enumval_exists", Kind.ENUMVAL_EXISTS, "1", [COLOR], [enum("color", GREEN=7)], 1, 1),
    Case("enumval_exists_not", Kind.ENUMVAL_EXISTS, "0", [COLOR], [enum("color", GREEN=7)], 1, 0),
    Case("enumval_exists_no_type", Kind.ENUMVAL_EXISTS, "0", [COLOR], [], 1, 0),
    Case("enumval_value", Kind.ENUMVAL_VALUE, "1", [COLOR], [enum("color", BLUE=1, GREEN=7)], 1, 7),
    Case("enumval_missing", Kind.ENUMVAL_VALUE, "0", [COLOR], [enum("color", GREEN=7)], 0, POISON),
    Case("enumval_no_type", Kind.ENUMVAL_VALUE, "0", [COLOR], [], 0, POISON),
    Case("enumval_flavor", Kind.ENUMVAL_VALUE, "0", [enum("color", RED___v2=3)], [enum("color", RED=4)], 3, 4),
    Case("enumval_wide", Kind.ENUMVAL_VALUE, "1", [COLOR], [enum64("color", GREEN=1 << 40)], 1, 1 << 40),
    Case("enumval_narrow", Kind.ENUMVAL_VALUE, "0", [enum64("color", GREEN=1 << 40)], [COLOR], 1 << 40, 1),
    Case("enumval_negative", Kind.ENUMVAL_VALUE, "1", [COLOR], [enum("color", signed=True, GREEN=-2)],
         1, 0xFFFFFFFF_FFFFFFFE),
    Case("enumval_unsigned_is_sign_extended_too", Kind.ENUMVAL_VALUE, "1", [COLOR],
         [enum("color", GREEN=0xFFFFFFFE)], 1, 0xFFFFFFFF_FFFFFFFE),
    Case("enumval_negative_wide", Kind.ENUMVAL_VALUE, "1", [COLOR], [enum64("color", signed=True, GREEN=-2)],
         1, 0xFFFFFFFF_FFFFFFFE),
    Case("enumval_typedef", Kind.ENUMVAL_VALUE, "1", [t.Typedef(B, "c"), COLOR],
         [t.Typedef(B, "c"), enum("color", GREEN=7)], 1, 7),
]  # fmt: skip


@pytest.mark.parametrize("case", [*FIELDS, *TYPES, *ENUMS], ids=lambda case: case.id)
def test_value(case: Case) -> None:
    fix = resolve(make_btf(*case.local, name="object"), make_btf(*case.target), case.kind, case.access)
    assert fix.old == case.old
    assert (POISON if fix.poison else fix.new) == case.new
    assert fix.kind_name == CORE_KIND_NAMES[case.kind]


def test_every_kind_is_in_the_table() -> None:
    shifts = {Kind.FIELD_LSHIFT_U64, Kind.FIELD_RSHIFT_U64}
    assert {case.kind for case in (*FIELDS, *TYPES, *ENUMS)} | shifts == set(Kind)


# -- wrong relocations

WRONG = [
    ("no_number", Kind.FIELD_BYTE_OFFSET, "0:x", "not made of numbers"),
    ("empty", Kind.FIELD_BYTE_OFFSET, "", "not made of numbers"),
    ("only_digits_are_numbers", Kind.FIELD_BYTE_OFFSET, "0:+1", "not made of numbers"),
    ("huge_number", Kind.FIELD_BYTE_OFFSET, "9" * 5000, "not made of numbers"),
    ("negative", Kind.FIELD_BYTE_OFFSET, "0:-1", "not made of numbers"),
    ("too_long", Kind.FIELD_BYTE_OFFSET, ":".join("0" * 65), "more than 64 steps"),
    ("no_such_member", Kind.FIELD_BYTE_OFFSET, "0:2", "no member number 2"),
    ("into_an_int", Kind.FIELD_BYTE_OFFSET, "0:0:0", "has no parts"),
    ("type_with_path", Kind.TYPE_EXISTS, "0:1", "not '0'"),
    ("no_enum", Kind.ENUMVAL_VALUE, "0", "names no enumerator"),
    ("unknown_kind", 13, "0", "13 is not known"),
    ("shift_of_an_element", Kind.FIELD_LSHIFT_U64, "0", "array element"),
]


@pytest.mark.parametrize(("kind", "access", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_relocation(kind: int, access: str, text: str) -> None:
    btf = make_btf(PAIR)
    with pytest.raises(CoreRelocationError, match=text) as caught:
        resolve(btf, btf, kind, access)
    assert caught.value.kind in (*CORE_KIND_NAMES.values(), "13")


@pytest.mark.parametrize("access", ["2", "0:0"], ids=["no_such_enumerator", "path"])
def test_wrong_relocation_of_an_enumerator(access: str) -> None:
    btf = make_btf(COLOR)
    with pytest.raises(CoreRelocationError, match="names no enumerator"):
        resolve(btf, btf, Kind.ENUMVAL_VALUE, access)


def test_array_index_outside_in_the_object() -> None:
    btf = make_btf(struct("s", ("v", B, 0), ("w", INT, 8)), t.Array(INT, INT, 2))
    with pytest.raises(CoreRelocationError, match="index 2 is outside of an array of 2"):
        resolve(btf, btf, Kind.FIELD_BYTE_OFFSET, "0:0:2")


@pytest.mark.parametrize("kind", Kind, ids=CORE_KIND_NAMES.get)
def test_type_id_that_is_none(kind: Kind) -> None:
    btf = make_btf(PAIR)
    with pytest.raises(CoreRelocationError, match="no type with id 99"):
        resolve(btf, btf, kind, "0", 99)


def test_anonymous_root() -> None:
    btf = make_btf(struct("", ("x", INT, 0)))
    with pytest.raises(CoreRelocationError, match="no name by which") as caught:
        resolve(btf, btf, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert caught.value.hint
