# SPDX-License-Identifier: BSD-2-Clause
"""CO-RE on hand-built types: each kind of relocation, and what is looked at when there are several candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from typekit import (
    BOOL,
    CHAR,
    FIRST,
    FLOAT,
    INT,
    LONG,
    UINT,
    ULONG,
    USHORT,
    VOIDP,
    enum,
    enum64,
    make_btf,
    struct,
    union,
)

from rawbpf.btf import types as t
from rawbpf.btf.core import CoreFix, CoreResolver
from rawbpf.btf.ext import CORE_KIND_NAMES, CoreRelo
from rawbpf.errors import CoreRelocationError
from rawbpf.uapi import CoreReloKind as Kind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

A, B, C, D = range(FIRST, FIRST + 4)  # the ids of a case's own types
POISON = None


def resolve(local: Btf, target: Btf | None, kind: int, access: str, type_id: int = A) -> CoreFix:
    return CoreResolver(local, target).resolve(CoreRelo(0, type_id, access, kind))


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


class Bits(NamedTuple):
    """A bit-field of `bits` from bit `at`, and its load: offset and size in bytes, shifts."""

    id: str
    type_id: int
    at: int
    bits: int
    offset: int
    size: int
    lshift: tuple[int, int]  # little-endian, big-endian
    rshift: int


BITS = [
    Bits("in_the_first_word", UINT, 3, 5, 0, 4, (56, 35), 59),
    Bits("in_the_second_word", UINT, 37, 5, 4, 4, (54, 37), 59),
    Bits("at_the_end_of_a_word", UINT, 27, 5, 0, 4, (32, 59), 59),
    Bits("of_8_bytes", ULONG, 12, 37, 0, 8, (15, 12), 27),
    Bits("all_of_a_word", UINT, 32, 32, 4, 4, (32, 32), 32),
    Bits("of_a_char", CHAR, 17, 3, 2, 1, (60, 57), 61),
    Bits("across_two_chars", CHAR, 6, 4, 0, 2, (54, 54), 60),
    Bits("across_two_words", UINT, 30, 4, 0, 8, (30, 30), 60),
    Bits("signed", INT, 3, 5, 0, 4, (56, 35), 59),
]


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
@pytest.mark.parametrize("case", BITS, ids=lambda case: case.id)
def test_bitfield(case: Bits, little: bool) -> None:
    local = make_btf(struct("s", ("x", case.type_id, 0, 1)), little=little)
    target = make_btf(struct("s", ("x", case.type_id, case.at, case.bits)), little=little)

    def value(kind: Kind) -> int:
        fix = resolve(local, target, kind, "0:0")
        assert not fix.poison
        return fix.new

    assert value(Kind.FIELD_BYTE_OFFSET) == case.offset
    assert value(Kind.FIELD_BYTE_SIZE) == case.size
    assert value(Kind.FIELD_LSHIFT_U64) == case.lshift[0 if little else 1]
    assert value(Kind.FIELD_RSHIFT_U64) == case.rshift
    assert value(Kind.FIELD_SIGNED) == (case.type_id in (INT, CHAR))


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
@pytest.mark.parametrize("case", BITS, ids=lambda case: case.id)
def test_load_and_shifts_of_a_bitfield_give_its_value(case: Bits, little: bool) -> None:
    target = make_btf(struct("s", ("x", case.type_id, case.at, case.bits)), little=little)
    memory = bytes(range(0x3B, 0x4B))
    whole = int.from_bytes(memory, "little" if little else "big")
    first = case.at if little else 8 * len(memory) - case.at - case.bits
    expected = whole >> first & (1 << case.bits) - 1

    def value(kind: Kind) -> int:
        return resolve(target, target, kind, "0:0").new

    begin = value(Kind.FIELD_BYTE_OFFSET)
    load = memory[begin : begin + value(Kind.FIELD_BYTE_SIZE)]
    loaded = int.from_bytes(load, "little" if little else "big")
    loaded = loaded << value(Kind.FIELD_LSHIFT_U64) & 0xFFFFFFFF_FFFFFFFF
    assert loaded >> value(Kind.FIELD_RSHIFT_U64) == expected


@pytest.mark.parametrize(("little", "lshift"), [(True, 48), (False, 48)], ids=["little", "big"])
def test_shifts_of_what_is_no_bitfield(little: bool, lshift: int) -> None:
    btf = make_btf(struct("s", ("x", USHORT, 6)), little=little)
    assert resolve(btf, btf, Kind.FIELD_LSHIFT_U64, "0:0").new == lshift
    assert resolve(btf, btf, Kind.FIELD_RSHIFT_U64, "0:0").new == 48


def test_bitfield_that_no_load_can_take() -> None:
    btf = make_btf(struct("s", ("x", ULONG, 60, 8)))
    with pytest.raises(CoreRelocationError, match="no load of 8 bytes"):
        resolve(btf, btf, Kind.FIELD_BYTE_OFFSET, "0:0")


def test_what_the_instruction_must_hold_is_only_told_where_the_compiler_sees_the_same() -> None:
    btf = make_btf(struct("s", ("bits", UINT, 0, 3), ("word", UINT, 32, 0)))
    checks = {
        kind: [resolve(btf, btf, kind, access).validate for access in ("0:0", "0:1")]
        for kind in (Kind.FIELD_BYTE_OFFSET, Kind.FIELD_BYTE_SIZE, Kind.FIELD_LSHIFT_U64, Kind.FIELD_RSHIFT_U64)
    }
    assert checks == {
        Kind.FIELD_BYTE_OFFSET: [False, True],
        Kind.FIELD_BYTE_SIZE: [False, True],
        Kind.FIELD_LSHIFT_U64: [False, True],
        Kind.FIELD_RSHIFT_U64: [True, True],
    }
    assert not resolve(btf, btf, Kind.TYPE_ID_TARGET, "0").validate
    assert not resolve(btf, btf, Kind.TYPE_ID_LOCAL, "0").validate
    assert resolve(btf, btf, Kind.TYPE_SIZE, "0").validate


SIZES: list[tuple[str, t.Type, t.Type, tuple[int, int], bool]] = [
    ("unsigned_grows", t.Int("u32", 4), t.Int("u64", 8), (4, 8), True),
    ("unsigned_shrinks", t.Int("u64", 8), t.Int("u16", 2), (8, 2), True),
    ("signed_grows", t.Int("s32", 4, t.Int.SIGNED), t.Int("s64", 8, t.Int.SIGNED), (4, 8), False),
    ("signed_stays", t.Int("s32", 4, t.Int.SIGNED), t.Int("u32", 4), (4, 4), True),
    ("unsigned_to_signed", t.Int("u32", 4), t.Int("s64", 8, t.Int.SIGNED), (4, 8), False),
    ("signed_to_unsigned", t.Int("s32", 4, t.Int.SIGNED), t.Int("u64", 8), (4, 8), False),
    ("pointers", t.Ptr(INT), t.Ptr(0), (8, 8), True),
    ("typedef", t.Typedef(UINT, "a"), t.Typedef(ULONG, "b"), (4, 8), True),
    ("bool_is_unsigned", t.Const(BOOL), t.Typedef(UINT, "b"), (1, 4), True),
    ("enum_grows", enum("e", A=1), enum64("e", A=1), (4, 8), False),
    ("elements_grow", t.Array(UINT, INT, 2), t.Array(ULONG, INT, 2), (4, 8), False),
    ("longer_array", t.Array(UINT, INT, 2), t.Array(UINT, INT, 9), (4, 4), True),
    ("struct_grows", struct("in", size=4), struct("in", size=12), (4, 12), False),
]


@pytest.mark.parametrize(("mine", "theirs", "sizes", "resizable"), [c[1:] for c in SIZES], ids=[c[0] for c in SIZES])
def test_load_that_changes_its_size(mine: t.Type, theirs: t.Type, sizes: tuple[int, int], resizable: bool) -> None:
    local = make_btf(struct("s", ("x", B, 0)), mine)
    target = make_btf(struct("s", ("x", B, 0)), theirs)
    fix = resolve(local, target, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert (fix.old_size, fix.new_size) == sizes
    assert fix.resizable is resizable


def test_pointers_of_other_sizes() -> None:
    local = make_btf(struct("s", ("p", VOIDP, 0)))
    target = make_btf(struct("s", ("p", B, 0)), t.Ptr(INT))
    target._ptr_size = 4  # a kernel of 32 bits
    fix = resolve(local, target, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert (fix.old_size, fix.new_size, fix.resizable) == (8, 4, True)


def test_bitfield_is_never_resized() -> None:
    local = make_btf(struct("s", ("x", UINT, 0, 3)))
    target = make_btf(struct("s", ("x", ULONG, 40, 3)))
    fix = resolve(local, target, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert (fix.old_size, fix.new_size, fix.resizable) == (0, 0, True)


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


# -- candidates


def test_story_of_a_fix() -> None:
    fix = resolve(make_btf(PAIR), make_btf(MOVED), Kind.FIELD_BYTE_OFFSET, "0:1")
    assert (fix.access, fix.target) == ("struct pair.y", "vmlinux [10] struct pair.y")
    assert fix.candidates == ("vmlinux [10] struct pair: found",)


def test_story_of_a_missing_field() -> None:
    fix = resolve(make_btf(struct("pair", ("no", INT, 0))), make_btf(MOVED), Kind.FIELD_BYTE_OFFSET, "0:0")
    assert (fix.access, fix.target) == ("struct pair.no", "")
    assert fix.candidates == ("vmlinux [10] struct pair: not there, or of another type",)


def test_candidates_that_agree_may_differ_elsewhere() -> None:
    # of the same offset, but of two types: what counts is the value that goes into the instruction
    local = make_btf(PAIR)
    target = make_btf(struct("pair", ("x", INT, 12)), struct("pair___b", ("x", UINT, 12)), struct("pair", ("x", C, 12)))
    assert resolve(local, target, Kind.FIELD_EXISTS, "0:0").new == 1
    target = make_btf(struct("pair", ("x", INT, 12)), struct("pair___b", ("x", LONG, 12)))
    fix = resolve(local, target, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert (fix.new, fix.target) == (12, "vmlinux [10] struct pair.x")


def test_candidates_that_disagree() -> None:
    local = make_btf(PAIR)
    target = make_btf(struct("pair", ("x", INT, 0)), struct("pair", ("x", INT, 4)))
    with pytest.raises(CoreRelocationError, match="different answers") as caught:
        resolve(local, target, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert caught.value.candidates == ("vmlinux [10] struct pair: found", "vmlinux [11] struct pair: found")
    assert (caught.value.kind, caught.value.access) == ("byte_off", "struct pair.x")
    assert caught.value.hint


def test_candidates_of_different_ids_disagree() -> None:
    target = make_btf(PAIR, PAIR)
    with pytest.raises(CoreRelocationError, match="different answers"):
        resolve(make_btf(PAIR), target, Kind.TYPE_ID_TARGET, "0")


def test_a_relocation_leaves_only_the_candidates_that_fit_for_the_next() -> None:
    local = make_btf(struct("twin", ("elsewhere", INT, 0), ("only_here", INT, 4)))
    target = make_btf(
        struct("twin", ("elsewhere", INT, 8), ("only_here", INT, 12)), struct("twin", ("elsewhere", INT, 16))
    )
    elsewhere, only_here = (CoreRelo(0, A, f"0:{n}", Kind.FIELD_BYTE_OFFSET) for n in (0, 1))
    resolver = CoreResolver(local, target)
    assert resolver.resolve(only_here).new == 12
    assert resolver.resolve(elsewhere).new == 8
    with pytest.raises(CoreRelocationError, match="different answers"):
        CoreResolver(local, target).resolve(elsewhere)


def test_a_relocation_that_fits_none_rules_out_none() -> None:
    local = make_btf(struct("s", ("missing", INT, 0), ("x", INT, 4)))
    resolver = CoreResolver(local, make_btf(struct("s", ("x", INT, 8))))
    assert resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_BYTE_OFFSET)).poison
    assert resolver.resolve(CoreRelo(0, A, "0:1", Kind.FIELD_BYTE_OFFSET)).new == 8


def test_candidates_of_two_flavors_are_each_their_own() -> None:
    local = make_btf(struct("s___old", ("a", INT, 0)), struct("s___new", ("b", INT, 0)))
    resolver = CoreResolver(local, make_btf(struct("s", ("b", INT, 8))))
    assert resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_EXISTS)).new == 0
    assert resolver.resolve(CoreRelo(0, B, "0:0", Kind.FIELD_BYTE_OFFSET)).new == 8


def test_modules_are_asked_only_for_what_the_kernel_lacks() -> None:
    local = make_btf(struct("core", ("x", INT, 0)), struct("mod", ("x", INT, 0)))
    vmlinux = make_btf(struct("core", ("x", INT, 4)))
    first = make_btf(struct("core", ("x", INT, 8)), base=vmlinux, name="first")
    second = make_btf(struct("mod", ("x", INT, 12)), base=vmlinux, name="second")
    asked: list[str] = []

    def modules() -> list[Btf]:
        asked.append("modules")
        return [first, second]

    resolver = CoreResolver(local, vmlinux, modules)
    assert resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_BYTE_OFFSET)).new == 4
    assert asked == []
    fix = resolver.resolve(CoreRelo(0, B, "0:0", Kind.FIELD_BYTE_OFFSET))
    assert (fix.new, fix.target) == (12, f"second [{vmlinux.end_id}] struct mod.x")
    assert asked == ["modules"]


def test_modules_may_disagree() -> None:
    vmlinux = make_btf()
    modules = [make_btf(struct("m", ("x", INT, at)), base=vmlinux, name=f"mod{at}") for at in (0, 8)]
    resolver = CoreResolver(make_btf(struct("m", ("x", INT, 0))), vmlinux, lambda: modules)
    with pytest.raises(CoreRelocationError, match="different answers") as caught:
        resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_BYTE_OFFSET))
    assert [text.split()[0] for text in caught.value.candidates] == ["mod0", "mod8"]


def test_without_a_kernel_only_local_ids_are_known() -> None:
    local = make_btf(PAIR)
    assert resolve(local, None, Kind.TYPE_ID_LOCAL, "0").new == A
    assert resolve(local, None, Kind.FIELD_BYTE_OFFSET, "0:1").poison
    assert resolve(local, None, Kind.TYPE_EXISTS, "0").new == 0


def test_types_that_go_in_circles_are_an_error() -> None:
    local = make_btf(struct("s", ("x", INT, 0)))
    target = make_btf(struct("s", ("", B, 0)), struct("", ("", B, 0)))
    assert resolve(local, target, Kind.FIELD_EXISTS, "0:0").new == 0
    looped = make_btf(t.Typedef(A, "loop"))
    with pytest.raises(CoreRelocationError, match="chain of more than"):
        resolve(looped, looped, Kind.TYPE_EXISTS, "0")


def test_many_paths_to_nowhere_take_no_time() -> None:
    # 2^60 ways lead to the innermost anonymous member
    anonymous = [struct("", ("", FIRST + n, 0), ("", FIRST + n, 8)) for n in range(2, 60)]
    target = make_btf(struct("s", ("", FIRST + 1, 0)), *anonymous, struct("", ("y", INT, 0)))
    local = make_btf(struct("s", ("x", INT, 0)))
    assert resolve(local, target, Kind.FIELD_EXISTS, "0:0").new == 0
