# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawbpf.errors import ElfError, SpecError
from rawbpf.objfile import insn as op
from rawbpf.objfile.insn import Insn, decode, encode, imm64, s32, set_imm64

# r1 = *(u64 *)(r6 + 8); r0 = 1 ll (two slots); exit
LITTLE = bytes.fromhex("7961080000000000 1800000001000000 0000000000000000 9500000000000000")
BIG = bytes.fromhex("7916000800000000 1800000000000001 0000000000000000 9500000000000000")
INSNS = [Insn(0x79, dst=1, src=6, off=8), Insn(0x18, imm=1), Insn(0), Insn(0x95)]


@pytest.mark.parametrize(("data", "little"), [(LITTLE, True), (BIG, False)], ids=["little", "big"])
def test_decode_and_encode_both_byte_orders(data: bytes, little: bool) -> None:
    assert decode(data, little=little) == INSNS
    assert decode(memoryview(data), little=little) == INSNS
    assert encode(INSNS, little=little) == data


@given(st.binary(max_size=200), st.booleans())
def test_any_whole_slots_survive_the_round_trip(data: bytes, little: bool) -> None:
    data = data[: len(data) // 8 * 8]
    assert encode(decode(data, little=little), little=little) == data


def test_partial_slot_is_refused() -> None:
    with pytest.raises(ElfError, match="33 bytes"):
        decode(bytes(33), little=True)


@pytest.mark.parametrize(
    "bad",
    [Insn(0x100), Insn(0x05, off=1 << 15), Insn(0xB7, imm=1 << 31), Insn(0xB7, dst=3, src=16)],
    ids=["code", "off", "imm", "src"],
)
def test_field_that_does_not_fit_is_named(bad: Insn) -> None:
    with pytest.raises(SpecError, match="does not fit") as caught:
        encode([Insn(0x95), bad], little=True)
    assert caught.value.insn == 1


def test_copy_has_its_own_fields_and_the_same_story() -> None:
    first = Insn(0x18, dst=1, src=1, imm=7)
    first.note = "map counters"
    twin = first.copy()
    twin.imm = 8
    assert (first.imm, twin.imm, twin.note) == (7, 8, "map counters")
    assert first != twin


def test_equality_is_of_bytes_not_of_story() -> None:
    told = Insn(0x95)
    told.note = "end"
    assert told == Insn(0x95)
    assert told != Insn(0x95, off=1)
    assert told != 0x95


PREDICATES = ["is_ld_imm64", "is_pseudo_func", "is_call", "is_helper_call", "is_pseudo_call", "is_kfunc_call"]
PREDICATES += ["is_exit", "is_memory_access"]


@pytest.mark.parametrize(
    ("insn", "true"),
    [
        (Insn(0x18, src=1), {"is_ld_imm64"}),
        (Insn(0x18, src=4), {"is_ld_imm64", "is_pseudo_func"}),
        (Insn(0x85, imm=1), {"is_call", "is_helper_call"}),
        (Insn(0x85, src=1, imm=-1), {"is_call", "is_pseudo_call"}),
        (Insn(0x85, src=2), {"is_call", "is_kfunc_call"}),
        (Insn(0x95), {"is_exit"}),
        (Insn(op.LDX | op.MEM | op.W), {"is_memory_access"}),
        (Insn(op.STX | op.ATOMIC | op.DW), {"is_memory_access"}),
        (Insn(op.ST | op.MEM | op.B), {"is_memory_access"}),
        (Insn(op.ALU64 | op.MOV | op.X), set()),
        (Insn(0), set()),
    ],
    ids=repr,
)
def test_predicates(insn: Insn, true: set[str]) -> None:
    assert {name for name in PREDICATES if getattr(insn, name)} == true


@pytest.mark.parametrize(
    ("insn", "offset"),
    [
        (Insn(op.JMP | op.JA, off=-2, imm=9), -2),
        (Insn(op.JMP32 | op.JA, off=9, imm=70000), 70000),
        (Insn(op.JMP | op.JEQ | op.X, off=3), 3),
        (Insn(op.JMP32 | op.JSLE | op.K, off=4, imm=1), 4),
        (Insn(op.JMP | op.JCOND, off=5), 5),
        (Insn(op.JMP | op.CALL, off=1, imm=1), None),
        (Insn(op.JMP | op.EXIT), None),
        (Insn(op.ALU | op.ADD, off=1), None),
    ],
    ids=repr,
)
def test_jump_offset(insn: Insn, offset: int | None) -> None:
    assert insn.jump_offset == offset


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x123456789ABCDEF0, 2**64 - 1])
def test_imm64(value: int) -> None:
    first, second = Insn(0x18), Insn(0)
    set_imm64(first, second, value)
    assert imm64(first, second) == value
    assert decode(encode([first, second], little=True), little=True) == [first, second]


def test_imm64_of_a_negative_number() -> None:
    first, second = Insn(0x18), Insn(0)
    set_imm64(first, second, -2)
    assert (first.imm, second.imm) == (-2, -1)


def test_s32() -> None:
    assert [s32(v) for v in (0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, -5)] == [0, 2**31 - 1, -(2**31), -1, 0, -5]
