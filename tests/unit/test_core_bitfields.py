# SPDX-License-Identifier: BSD-2-Clause
"""CO-RE on hand-built types: the loads of bit-fields, and loads that change their size."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from corekit import B, resolve
from typekit import BOOL, CHAR, INT, UINT, ULONG, USHORT, VOIDP, enum, enum64, make_btf, struct

from rawbpf.btf import types as t
from rawbpf.errors import CoreRelocationError
from rawbpf.uapi import CoreReloKind as Kind


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
