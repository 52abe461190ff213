# SPDX-License-Identifier: BSD-2-Clause
"""Subprograms: appended to each program that calls them, and their func_info and line_info with them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from elfwriter import EXIT, MOV_R0, R_BPF_64_32, ObjectWriter, call, ld_imm64
from kernelkit import kernel, kernel_for
from plankit import NOP, OBJS, code, plan_of, program
from typekit import make_btf

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import RelocationError, SpecError
from rawbpf.objfile.elf import STB_LOCAL
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import PseudoSrc

if TYPE_CHECKING:
    from rawbpf.objfile.insn import Insn
    from rawbpf.plan.plan import Plan
    from rawbpf.plan.steps import LoadProgram

ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])


def infos(step: LoadProgram, plan: Plan) -> tuple[list[Any], list[Any]]:
    order = "<" if plan.little else ">"
    return list(struct.iter_unpack(f"{order}2I", step.func_info)), list(
        struct.iter_unpack(f"{order}4I", step.line_info)
    )


def layout(plan: Plan, name: str) -> list[tuple[int, str]]:
    # (slot, function) of each function in a program, as func_info has it
    btf = rawbpf.Btf(plan.btf or b"")
    return [(slot, btf.name_of(type_id)) for slot, type_id in infos(program(plan, name), plan)[0]]


# -- subprograms


def call_targets(insns: list[Insn]) -> dict[int, int]:
    return {slot: slot + insn.imm + 1 for slot, insn in enumerate(insns) if insn.is_pseudo_call or insn.is_pseudo_func}


@ORDERS
def test_depth_first_at_the_first_call(little: bool) -> None:
    out = ObjectWriter(little=little)
    subs = {}
    for name, callees in {"leaf": [], "middle": ["leaf"], "other": [], "top": ["other", "middle", "leaf"]}.items():
        subs[name] = out.function(".text", name, [*(call() for _ in callees), EXIT])
        at = len(out._code[".text"]) - len(callees) - 1
        for number, callee in enumerate(callees):
            out.relocate(".text", at + number, subs[callee], R_BPF_64_32)
    out.function("xdp", "f", [call(), call(), EXIT])
    out.relocate("xdp", 0, subs["top"], R_BPF_64_32)
    out.relocate("xdp", 1, subs["leaf"], R_BPF_64_32)
    plan = plan_of(out)
    assert layout(plan, "f") == [(0, "f"), (3, "top"), (7, "other"), (8, "middle"), (10, "leaf")]
    assert call_targets(code(plan)) == {0: 3, 1: 10, 3: 7, 4: 8, 5: 10, 8: 10}
    assert program(plan).reason == 'SEC("xdp"), with subprograms top, other, middle, leaf'


@ORDERS
def test_each_program_has_its_own_copies(little: bool) -> None:
    out = ObjectWriter(little=little)
    first = out.function(".text", "first", [MOV_R0, EXIT])
    second = out.function(".text", "second", [NOP, MOV_R0, EXIT])
    for name, callees in {"f": [first, second], "g": [second], "h": []}.items():
        out.function(name, name, [*(call() for _ in callees), EXIT])
        for slot, callee in enumerate(callees):
            out.relocate(name, slot, callee, R_BPF_64_32)
    for step in (spec := out.to_spec()).programs.values():
        step.prog_type = 1
    plan = make_plan(spec, kernel(make_btf(little=little)))
    assert layout(plan, "f") == [(0, "f"), (3, "first"), (5, "second")]
    assert layout(plan, "g") == [(0, "g"), (2, "second")]
    assert layout(plan, "h") == [(0, "h")]
    assert [len(code(plan, name)) for name in "fgh"] == [8, 5, 1]


def test_static_functions_are_called_by_their_section() -> None:
    # imm counts from the section's beginning, and from the slot behind the call if there is no relocation
    out = ObjectWriter()
    out.function(".text", "first", [MOV_R0, EXIT], bind=STB_LOCAL)
    out.function(".text", "second", [call(-3), EXIT], bind=STB_LOCAL)
    out.function("xdp", "f", [call(1), EXIT])
    out.relocate("xdp", 0, out.section_symbol(".text"), R_BPF_64_32)
    plan = plan_of(out)
    assert layout(plan, "f") == [(0, "f"), (2, "second"), (4, "first")]
    assert call_targets(code(plan)) == {0: 2, 2: 4}


def test_recursion_goes_back() -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [call(), EXIT])
    out.relocate(".text", 0, sub, R_BPF_64_32)
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    assert call_targets(code(plan_of(out))) == {0: 2, 2: 2}


@pytest.mark.parametrize("static", [True, False], ids=["static", "global"])
def test_address_of_a_function(static: bool) -> None:
    out = ObjectWriter()
    out.function(".text", "first", [MOV_R0, EXIT], bind=STB_LOCAL)
    sub = out.function(".text", "callback", [MOV_R0, EXIT], bind=STB_LOCAL if static else 1)
    out.function("xdp", "f", [*ld_imm64(2, 16 if static else 0), EXIT])
    out.relocate("xdp", 0, out.section_symbol(".text") if static else sub)
    plan = plan_of(out)
    first = code(plan)[0]
    assert (first.code, first.dst, first.src, first.imm) == (0x18, 2, PseudoSrc.FUNC, 2)
    assert layout(plan, "f") == [(0, "f"), (3, "callback")]
    assert program(plan).slots == ()


def test_long_chains_of_calls_need_no_recursion() -> None:
    out = ObjectWriter()
    symbols = [out.function(".text", "s0", [EXIT])]
    for number in range(1, 3000):
        symbols.append(out.function(".text", f"s{number}", [call(), EXIT]))
        out.relocate(".text", 2 * number - 1, symbols[-2], R_BPF_64_32)
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, symbols[-1], R_BPF_64_32)
    assert len(layout(plan_of(out), "f")) == 3001


WRONG_CALLS = [
    ("into_another_section", "subprograms must be in .text"),
    ("behind_text", "slot 99 of .text, where no function is"),
    ("before_text", "where no function is"),
    ("between_functions", "slot 2 of .text, where no function is"),
    ("without_relocation", "subprograms must be in .text"),
]


@pytest.mark.parametrize(("edit", "text"), WRONG_CALLS, ids=[case[0] for case in WRONG_CALLS])
def test_wrong_call(edit: str, text: str) -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [MOV_R0, EXIT])
    out._code[".text"].append(EXIT)  # which no symbol covers
    imm = {"behind_text": 98, "before_text": -5, "between_functions": 1}.get(edit, -1)
    other = out.function("tc", "other", [MOV_R0, EXIT])
    out.function("xdp", "f", [call(imm), EXIT], lines=(0, 1))
    if edit != "without_relocation":
        out.relocate("xdp", 0, other if edit == "into_another_section" else sub, R_BPF_64_32)
    with pytest.raises(RelocationError, match=text) as caught:
        plan_of(out)
    assert (caught.value.symbol, caught.value.insn) == ("f", 0)
    assert caught.value.source is not None
    assert caught.value.source.text == "line 0 of f"


@pytest.mark.parametrize("order", ["el", "eb"])
def test_compiled_subprograms(order: str) -> None:
    spec = rawbpf.open(OBJS / f"subprograms.{order}.o")
    plan = make_plan(spec, kernel_for(spec))
    names = {name: [function for _slot, function in layout(plan, name)] for name in spec.programs}
    assert names == {
        "alone": ["alone"],
        "first": ["first", "leaf", "middle"],
        "second": [
            "second",
            "global_function",
            "middle",
            "leaf",
            "uncalled_by_first",
            "weak_function",
            "hidden_function",
        ],
        "third": ["third", "middle", "leaf", "weak_function"],
    }  # fmt: skip
    for name in names:
        starts = {slot for slot, _function in layout(plan, name)}
        assert set(call_targets(code(plan, name)).values()) == starts - {0}


@pytest.mark.parametrize("order", ["el", "eb"])
def test_compiled_callbacks(order: str) -> None:
    spec = rawbpf.open(OBJS / f"callbacks.{order}.o")
    plan = make_plan(spec, kernel_for(spec))
    assert [name for _slot, name in layout(plan, "each_element")] == ["each_element", "fill", "square", "add"]
    for name in spec.programs:
        addressed = [insn for insn in code(plan, name) if insn.is_pseudo_func]
        assert len(addressed) == {"loop": 1, "each_element": 2, "loop_again": 1}[name]


@pytest.mark.parametrize("order", ["el", "eb"])
def test_what_no_symbol_covers_is_left_out(order: str) -> None:
    spec = rawbpf.open(OBJS / f"overridden.{order}.o")
    plan = make_plan(spec, kernel_for(spec))
    for name in spec.programs:
        assert [function for _slot, function in layout(plan, name)] == [name, "used"]


def test_exception_callback() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    out.function(".text", "helper", [MOV_R0, EXIT], bind=STB_LOCAL)
    out.function(".text", "thrown", [call(-3), EXIT])
    out.function("xdp", "f", [MOV_R0, EXIT])
    out.function("xdp", "g", [MOV_R0, EXIT])
    (_, f), (_, g) = out.func_info["xdp"]
    out.btf.add(t.DeclTag(f, "exception_callback:thrown"))
    out.btf.add(t.DeclTag(g, "another tag"))
    plan = plan_of(out)
    assert layout(plan, "f") == [(0, "f"), (2, "thrown"), (4, "helper")]
    assert layout(plan, "g") == [(0, "g")]
    out.btf.add(t.DeclTag(g, "exception_callback:helper"))
    with pytest.raises(SpecError, match="'helper' is no global, visible function") as caught:
        plan_of(out)
    assert caught.value.symbol == "g"


# -- func_info and line_info


@ORDERS
def test_infos_move_with_their_functions(little: bool) -> None:
    out = ObjectWriter(little=little)
    out.function(".text", "unused", [NOP, NOP, EXIT])
    sub = out.function(".text", "sub", [NOP, MOV_R0, EXIT], lines=(0, 2))
    out.function("xdp", "before", [NOP, EXIT])
    out.function("xdp", "f", [NOP, call(), EXIT], lines=(0, 1))
    out.relocate("xdp", 3, sub, R_BPF_64_32)
    plan = plan_of(out)
    step = program(plan)
    btf = rawbpf.Btf(plan.btf or b"")
    assert layout(plan, "f") == [(0, "f"), (3, "sub")]
    lines = [(slot, btf.string(text), word >> 10) for slot, _file, text, word in infos(step, plan)[1]]
    assert lines == [(0, "line 0 of f", 1), (1, "line 1 of f", 2), (3, "line 0 of sub", 1), (5, "line 2 of sub", 3)]
    assert (step.func_info_rec_size, step.line_info_rec_size) == (8, 16)


def test_no_infos_of_the_program_no_infos_at_all() -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [MOV_R0, EXIT])
    out.function("xdp", "f", [call(), EXIT], btf=False)
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    step = program(plan_of(out))
    assert (step.func_info, step.line_info, step.func_info_rec_size, step.line_info_rec_size) == (b"", b"", 0, 0)


def test_no_func_info_of_a_subprogram() -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [MOV_R0, EXIT], btf=False)
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    with pytest.raises(SpecError, match="no func_info of the subprogram 'sub'"):
        plan_of(out)


def test_no_lines_of_a_subprogram() -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [MOV_R0, EXIT], lines=())
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    with pytest.raises(SpecError, match="no line_info of the subprogram 'sub'"):
        plan_of(out)
