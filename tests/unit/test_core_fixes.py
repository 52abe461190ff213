# SPDX-License-Identifier: BSD-2-Clause
"""CO-RE fixes, written into instructions: of a program and of its subprograms."""

from __future__ import annotations

from typing import Any

import pytest
from elfwriter import EXIT, MOV_R0, R_BPF_64_32, ObjectWriter, call
from kernelkit import kernel
from plankit import NOP, OBJS, code, plan_of
from typekit import INT, make_btf
from typekit import struct as struct_type

import rawbpf
from rawbpf.btf.core import CoreFix
from rawbpf.errors import ElfError, RawbpfError, RelocationError
from rawbpf.objfile.insn import Insn
from rawbpf.plan.plan import Note
from rawbpf.plan.planner import make_plan
from rawbpf.plan.relocate import POISON_CORE, apply_fix
from rawbpf.uapi import CoreReloKind as Kind

ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])


def fix(old: int, new: int, **fields: Any) -> CoreFix:
    base = CoreFix(Kind.FIELD_BYTE_OFFSET, "struct s.x", "vmlinux [1] struct s.x", old, new, False, True)
    return base._replace(**fields)


LDX_W, LDX_DW, LDX_B, STX_W, ST_H, LDXS_W = 0x61, 0x79, 0x71, 0x63, 0x6A, 0x81

WRITTEN: list[tuple[str, list[Insn], CoreFix, list[Insn]]] = [
    ("load", [Insn(LDX_W, off=4)], fix(4, 8), [Insn(LDX_W, off=8)]),
    ("store", [Insn(STX_W, 1, 2, off=4)], fix(4, 8), [Insn(STX_W, 1, 2, off=8)]),
    ("store_of_constant", [Insn(ST_H, 1, off=4, imm=7)], fix(4, 8), [Insn(ST_H, 1, off=8, imm=7)]),
    ("furthest", [Insn(LDX_W, off=4)], fix(4, 32767), [Insn(LDX_W, off=32767)]),
    ("load_grows", [Insn(LDX_W, off=4)], fix(4, 8, old_size=4, new_size=8), [Insn(LDX_DW, off=8)]),
    ("load_shrinks", [Insn(LDX_DW, off=4)], fix(4, 8, old_size=8, new_size=1), [Insn(LDX_B, off=8)]),
    ("mode_stays", [Insn(LDXS_W, off=4)], fix(4, 8, old_size=4, new_size=2), [Insn(0x89, off=8)]),
    ("add", [Insn(0x07, 1, imm=4)], fix(4, 8), [Insn(0x07, 1, imm=8)]),
    ("mov32", [Insn(0xB4, 1, imm=4)], fix(4, 8), [Insn(0xB4, 1, imm=8)]),
    ("negative", [Insn(0xB7, 1, imm=-1)], fix((1 << 64) - 1, (1 << 64) - 2), [Insn(0xB7, 1, imm=-2)]),
    ("not_resizable_matters_to_memory_only", [Insn(0xB7, imm=4)], fix(4, 8, resizable=False), [Insn(0xB7, imm=8)]),
    ("wide", [Insn(0x18, 1, imm=4), Insn(0)], fix(4, 1 << 40 | 5), [Insn(0x18, 1, imm=5), Insn(0, imm=1 << 8)]),
    ("unchecked", [Insn(0xB7, imm=77)], fix(4, 8, validate=False), [Insn(0xB7, imm=8)]),
    ("unchecked_load", [Insn(LDX_W, off=77)], fix(4, 8, validate=False), [Insn(LDX_W, off=8)]),
    ("poisoned", [Insn(LDX_W, off=4)], fix(4, 0, poison=True), [Insn(0x85, imm=POISON_CORE)]),
    ("poisoned_alu", [Insn(0xB7, 3, imm=4)], fix(4, 0, poison=True), [Insn(0x85, imm=POISON_CORE)]),
    ("poisoned_wide", [Insn(0x18, imm=4), Insn(0)], fix(4, 0, poison=True), [Insn(0x85, imm=POISON_CORE)] * 2),
    ("not_resizable", [Insn(LDX_W, off=4)], fix(4, 8, resizable=False), [Insn(0x85, imm=POISON_CORE)]),
]


@pytest.mark.parametrize(("insns", "core", "expected"), [c[1:] for c in WRITTEN], ids=[c[0] for c in WRITTEN])
def test_fix(insns: list[Insn], core: CoreFix, expected: list[Insn]) -> None:
    insns = [insn.copy() for insn in insns]
    apply_fix(insns, 0, core)
    assert insns == expected
    assert insns[0].note is not None


REFUSED: list[tuple[str, list[Insn], CoreFix, str]] = [
    ("other_offset", [Insn(LDX_W, off=5)], fix(4, 8), "holds 5, the object's own types say 4"),
    ("other_constant", [Insn(0xB7, imm=5)], fix(4, 8), "holds 5"),
    ("other_wide_constant", [Insn(0x18, imm=4), Insn(0, imm=1)], fix(4, 8), "holds 4294967300"),
    ("too_far", [Insn(LDX_W, off=4)], fix(4, 32768), "offset 32768 does not fit"),
    ("load_of_another_size", [Insn(LDX_B, off=4)], fix(4, 8, old_size=4, new_size=8),
     "of 1 bytes cannot be made one of 8"),
    ("size_of_no_load", [Insn(LDX_W, off=4)], fix(4, 8, old_size=4, new_size=3), "cannot be made one of 3"),
    ("add_of_registers", [Insn(0x0F, 1, 2)], fix(0, 8), "opcode 0xf cannot hold it"),
    ("jump", [Insn(0x05)], fix(0, 8), "opcode 0x5 cannot hold it"),
    ("half_an_ld_imm64", [Insn(0x18, imm=4)], fix(4, 8), "opcode 0x18 cannot hold it"),
]  # fmt: skip


@pytest.mark.parametrize(("insns", "core", "text"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_fix_refused(insns: list[Insn], core: CoreFix, text: str) -> None:
    with pytest.raises(RelocationError, match=text):
        apply_fix([insn.copy() for insn in insns], 0, core)


@ORDERS
def test_relocations_of_a_program_and_its_subprograms(little: bool) -> None:
    out = ObjectWriter(little=little)
    assert out.btf is not None
    local = out.btf.add(struct_type("s", ("x", INT, 4), ("missing", INT, 8)))
    sub = out.function(".text", "sub", [NOP, Insn(LDX_W, off=4), EXIT])
    out.function("xdp", "f", [Insn(LDX_W, off=8), call(), EXIT], lines=(0, 1))
    out.relocate("xdp", 1, sub, R_BPF_64_32)
    out.core_relo(".text", 1, local, "0:0", Kind.FIELD_BYTE_OFFSET)
    out.core_relo("xdp", 0, local, "0:1", Kind.FIELD_BYTE_OFFSET)
    plan = plan_of(out, kernel(make_btf(struct_type("s", ("x", INT, 20)), little=little)))
    insns = code(plan)
    assert (insns[0].imm, insns[4].off) == (POISON_CORE, 20)
    notes = plan.notes["prog:f"]
    assert notes[0] == Note(
        0, "poisoned: CO-RE byte_off struct s.missing: no such thing in the kernel", notes[0].source
    )  # fmt: skip
    assert notes[0].source is not None
    assert notes[0].source.text == "line 0 of f"
    assert [(note.insn, note.text) for note in notes[1:]] == [
        (1, "call of subprogram sub"),
        (4, "CO-RE byte_off struct s.x: 4 -> 20 (vmlinux [10] struct s.x)"),
    ]


def test_programs_that_are_not_loaded_are_not_relocated() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    local = out.btf.add(struct_type("s", ("x", INT, 4)))
    out.function("?xdp", "broken", [Insn(LDX_W, off=99), EXIT])
    out.core_relo("?xdp", 0, local, "0:0", Kind.FIELD_BYTE_OFFSET)
    out.function("xdp", "f", [MOV_R0, EXIT])
    assert len(plan_of(out).programs) == 1
    spec = out.to_spec()
    spec.programs["broken"].autoload = True
    with pytest.raises(RelocationError, match="holds 99") as caught:
        make_plan(spec, kernel(make_btf(struct_type("s", ("x", INT, 4)))))
    assert (caught.value.symbol, caught.value.insn, str(caught.value.source)) == ("broken", 0, "broken.c:1")


def test_relocation_between_instructions() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    out.function("xdp", "f", [MOV_R0, EXIT])
    local = out.btf.add(struct_type("s", ("x", INT, 4)))
    out.core_relos["xdp"] = [(4, local, 0, Kind.FIELD_BYTE_OFFSET)]
    with pytest.raises(ElfError, match="byte 4 is at no instruction"):
        plan_of(out)


def test_kernel_without_types() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    local = out.btf.add(struct_type("s", ("x", INT, 4)))
    out.function("xdp", "f", [Insn(0xB7, imm=local), EXIT])
    out.core_relo("xdp", 0, local, "0", Kind.TYPE_ID_LOCAL)
    assert code(plan_of(out, kernel(None)))[0].imm == local
    out.core_relo("xdp", 0, local, "0", Kind.TYPE_EXISTS)
    with pytest.raises(RelocationError, match="CO-RE relocations, and the kernel has no BTF"):
        plan_of(out, kernel(None))


def test_other_types_for_relocations() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    local = out.btf.add(struct_type("s", ("x", INT, 4)))
    out.function("xdp", "f", [Insn(LDX_W, off=4), EXIT])
    out.core_relo("xdp", 0, local, "0:0", Kind.FIELD_BYTE_OFFSET)
    target = kernel(make_btf(struct_type("s", ("x", INT, 8))), {"mod": make_btf()})
    target.core_btf = make_btf(struct_type("s", ("x", INT, 12)), name="minimal")
    assert code(plan_of(out, target))[0].off == 12


EXPECTED_CORE = {
    # what core.c expects of the kernel of core_target.c: (program, note)
    "missing_field": "poisoned: CO-RE byte_off struct moved.missing: no such thing in the kernel",
    "missing_element": "poisoned: CO-RE byte_off struct outer.points[7].x: no such thing in the kernel",
    "missing_enumerator": "poisoned: CO-RE enumval_value enum level::NO_SUCH_LEVEL: no such thing in the kernel",
    "missing_type": "poisoned: CO-RE byte_off struct no_such_type.member: no such thing in the kernel",
    "resized_signed": "poisoned: CO-RE byte_off struct resized.grown_signed: the kernel's field has another size or",
}


@pytest.mark.parametrize("order", ["el", "eb"])
def test_compiled_core(order: str) -> None:
    spec = rawbpf.open(OBJS / f"core.{order}.o")
    target = rawbpf.Target.from_btf(OBJS / f"core_target.{order}.o")
    for found in spec.programs.values():
        found.autoload = True
    plan = make_plan(spec, target)
    for name, text in EXPECTED_CORE.items():
        notes = [note.text for note in plan.notes[f"prog:{name}"] if note.text.startswith("poisoned")]
        assert notes
        assert all(note.startswith(text) for note in notes)
    for name in set(spec.programs) - set(EXPECTED_CORE) - {"guarded", "flavors"}:
        assert not any(note.text.startswith("poisoned") for note in plan.notes.get(f"prog:{name}", ()))


@pytest.mark.parametrize("order", ["el", "eb"])
def test_compiled_ambiguity(order: str) -> None:
    spec = rawbpf.open(OBJS / f"core_ambiguous.{order}.o")
    with pytest.raises(RawbpfError, match="different answers") as caught:
        make_plan(spec, rawbpf.Target.from_btf(OBJS / f"core_target.{order}.o"))
    assert caught.value.report().count("candidate: ") == 2
