# SPDX-License-Identifier: BSD-2-Clause
"""Jump tables: each table of each program becomes a map with the slots that its targets have in that program."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elfwriter import EXIT, MOV_R0, R_BPF_64_32, ObjectWriter, call, ld_imm64
from kernelkit import kernel_for
from plankit import plan_of

import rawbpf
from rawbpf.errors import SpecError
from rawbpf.objfile.elf import STT_OBJECT
from rawbpf.objfile.insn import Insn, decode
from rawbpf.plan import steps as s
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import MapType, PseudoSrc

if TYPE_CHECKING:
    from rawbpf.plan.plan import Plan

ROOT = Path(__file__).parents[2]
ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
JUMP = [*ld_imm64(dst=1), Insn(0x0D, dst=1)]  # r1 = table; gotox r1
BODY = [*JUMP, MOV_R0, EXIT]


def table(out: ObjectWriter, *targets: int, name: str = "BPF.JT.0.0", size: int | None = None) -> int:
    """Append a table to .jumptables; its symbol."""
    words = struct.pack(f"{out.order}{len(targets)}Q", *targets)
    if ".jumptables" not in out._indexes:
        out.section(".jumptables")
    section = out._sections[out.index(".jumptables")]
    begin = len(section["data"])
    section["data"] += words
    size = len(words) if size is None else size
    return out.symbol(name, section=out.index(".jumptables"), value=begin, size=size, type=STT_OBJECT)


def targets(plan: Plan) -> dict[str, list[int]]:
    """By handle what the maps of jump tables hold."""
    order = "<" if plan.little else ">"
    found: dict[str, list[int]] = {}
    for step in plan.steps:
        if isinstance(step, s.UpdateMap) and ".jumptables" in step.map:
            assert len(step.value) == 16
            assert struct.unpack(f"{order}I", step.key) == (len(found.setdefault(step.map, [])),)
            found[step.map] += struct.unpack(f"{order}I12x", step.value)
    return found


@ORDERS
def test_offsets_in_the_section_become_slots_of_the_program(little: bool) -> None:
    out = ObjectWriter(little=little)
    out.function("xdp", "first", BODY)
    out.function("xdp", "second", BODY)
    out.relocate("xdp", 5, table(out, 8 * 8, 8 * 9, 8 * 8))
    plan = plan_of(out)
    assert targets(plan) == {"map:second.jumptables+0x0": [3, 4, 3]}
    create = plan.maps[0]
    assert (create.name, create.map_type, create.key_size, create.value_size, create.max_entries) == (
        (".jumptables", MapType.INSN_ARRAY, 4, 16, 3)
    )
    second = plan.programs[1]
    first_half, second_half, jump = decode(second.insns, little=little)[:3]
    assert (first_half.src, first_half.imm, second_half.imm) == (PseudoSrc.MAP_VALUE, 0, 0)
    assert second.slots == (s.Slot(4, create.handle),)
    assert jump == Insn(0x0D, dst=1)
    assert not plan.programs[0].slots


def test_order_of_steps() -> None:
    out = ObjectWriter()
    out.function("xdp", "f", BODY)
    out.relocate("xdp", 0, table(out, 24))
    kinds = [type(step) for step in plan_of(out).steps]
    # as in libbpf before all else, and closed when the program has it
    assert kinds == [s.CreateMap, s.UpdateMap, s.FreezeMap, s.LoadBtf, s.LoadProgram, s.Close]


def test_table_of_a_subprogram_is_made_for_each_program() -> None:
    out = ObjectWriter()
    out.function(".text", "unused", [MOV_R0, EXIT])
    sub = out.function(".text", "sub", BODY)
    out.function("xdp", "short", [call(), EXIT])
    out.function("xdp", "long", [*[MOV_R0] * 4, call(), EXIT])
    for slot in (0, 6):
        out.relocate("xdp", slot, sub, R_BPF_64_32)
    out.relocate(".text", 2, table(out, 8 * 5, 8 * 6))
    assert targets(plan_of(out)) == {"map:short.jumptables+0x0": [5, 6], "map:long.jumptables+0x0": [9, 10]}


def test_one_map_for_all_uses_of_a_table_in_a_program() -> None:
    out = ObjectWriter()
    out.function("xdp", "f", [*JUMP, *JUMP, MOV_R0, EXIT])
    table(out, 56, name="unused")
    symbol = table(out, 48, 56)
    for slot in (0, 3):
        out.relocate("xdp", slot, symbol)
    plan = plan_of(out)
    assert targets(plan) == {"map:f.jumptables+0x8": [6, 7]}
    assert [slot.handle for slot in plan.programs[0].slots] == ["map:f.jumptables+0x8"] * 2


@pytest.mark.parametrize(
    ("entries", "size", "message"),
    [
        ([24], 0, "no array of u64"),
        ([24], 7, "no array of u64"),
        ([24], 16, "no array of u64 in 8 bytes"),
        ([24, 8 * 5], None, "leads to byte 40 of xdp"),
        ([1 << 63], None, "leads to byte 9223372036854775808"),
    ],
)
def test_broken_tables(entries: list[int], size: int | None, message: str) -> None:
    out = ObjectWriter()
    out.function("xdp", "f", BODY)
    out.relocate("xdp", 0, table(out, *entries, size=size))
    with pytest.raises(SpecError, match=message) as error:
        plan_of(out)
    assert error.value.section == ".jumptables"


@pytest.mark.parametrize("order", ["el", "eb"])
def test_object_of_clang(order: str) -> None:
    spec = rawbpf.open(ROOT / f"tests/objs/jump_tables.{order}.o")
    plan = make_plan(spec, kernel_for(spec))
    found = targets(plan)
    assert {handle: len(slots) for handle, slots in found.items()} == {
        "map:by_itself.jumptables+0x48": 5,
        "map:by_itself.jumptables+0x70": 5,
        "map:by_call.jumptables+0x20": 5,
        "map:by_both.jumptables+0x98": 5,
        "map:by_both.jumptables+0x0": 4,
        "map:by_both.jumptables+0x20": 5,
    }
    for step in plan.programs:
        insns = decode(step.insns, little=plan.little)
        for handle in {slot.handle for slot in step.slots if slot.handle in found}:
            # a target is an instruction of its own, not the second half of another one
            assert all(insns[target].code for target in found[handle])
