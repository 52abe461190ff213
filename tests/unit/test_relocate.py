# SPDX-License-Identifier: BSD-2-Clause
"""Instructions in their final form: subprograms appended, maps, data and externs put in, CO-RE fixes written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elfwriter import EXIT, MOV_R0, NOBITS, R_BPF_64_32, WRITE, ObjectWriter, call, ld_imm64
from kernelkit import kernel, kernel_for
from typekit import FIRST, INT, LONG, make_btf
from typekit import struct as struct_type

import rawbpf
from rawbpf.btf import types as t
from rawbpf.btf.core import CoreFix
from rawbpf.errors import ElfError, RawbpfError, RelocationError, SpecError
from rawbpf.objfile.elf import STB_LOCAL, STB_WEAK, STT_OBJECT
from rawbpf.objfile.insn import Insn, decode, imm64
from rawbpf.plan.plan import Note, Plan
from rawbpf.plan.planner import make_plan
from rawbpf.plan.relocate import POISON_CORE, POISON_KFUNC, POISON_MAP, apply_fix
from rawbpf.plan.steps import LoadProgram, Slot
from rawbpf.uapi import CoreReloKind as Kind
from rawbpf.uapi import PseudoCall, PseudoSrc

if TYPE_CHECKING:
    from rawbpf.plan.target import Target

OBJS = Path(__file__).parent.parent / "objs"
ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
NOP = Insn(0xBF, dst=1, src=1)


def planned(out: ObjectWriter, target: Target | None = None) -> Plan:
    return make_plan(out.to_spec(), target or kernel(make_btf(little=out.little)))


def program(plan: Plan, name: str = "f") -> LoadProgram:
    return next(step for step in plan.programs if step.name == name)


def code(plan: Plan, name: str = "f") -> list[Insn]:
    return decode(program(plan, name).insns, little=plan.little)


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
    plan = planned(out)
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
    plan = planned(out)
    assert layout(plan, "f") == [(0, "f"), (2, "second"), (4, "first")]
    assert call_targets(code(plan)) == {0: 2, 2: 4}


def test_recursion_goes_back() -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [call(), EXIT])
    out.relocate(".text", 0, sub, R_BPF_64_32)
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    assert call_targets(code(planned(out))) == {0: 2, 2: 2}


@pytest.mark.parametrize("static", [True, False], ids=["static", "global"])
def test_address_of_a_function(static: bool) -> None:
    out = ObjectWriter()
    out.function(".text", "first", [MOV_R0, EXIT], bind=STB_LOCAL)
    sub = out.function(".text", "callback", [MOV_R0, EXIT], bind=STB_LOCAL if static else 1)
    out.function("xdp", "f", [*ld_imm64(2, 16 if static else 0), EXIT])
    out.relocate("xdp", 0, out.section_symbol(".text") if static else sub)
    plan = planned(out)
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
    assert len(layout(planned(out), "f")) == 3001


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
        planned(out)
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
    plan = planned(out)
    assert layout(plan, "f") == [(0, "f"), (2, "thrown"), (4, "helper")]
    assert layout(plan, "g") == [(0, "g")]
    out.btf.add(t.DeclTag(g, "exception_callback:helper"))
    with pytest.raises(SpecError, match="'helper' is no global, visible function") as caught:
        planned(out)
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
    plan = planned(out)
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
    step = program(planned(out))
    assert (step.func_info, step.line_info, step.func_info_rec_size, step.line_info_rec_size) == (b"", b"", 0, 0)


def test_no_func_info_of_a_subprogram() -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [MOV_R0, EXIT], btf=False)
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    with pytest.raises(SpecError, match="no func_info of the subprogram 'sub'"):
        planned(out)


def test_no_lines_of_a_subprogram() -> None:
    out = ObjectWriter()
    sub = out.function(".text", "sub", [MOV_R0, EXIT], lines=())
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    with pytest.raises(SpecError, match="no line_info of the subprogram 'sub'"):
        planned(out)


# -- maps, data, externs


def with_map(*, little: bool = True) -> tuple[ObjectWriter, int]:
    out = ObjectWriter(little=little)
    assert out.btf is not None
    out.section(".maps", bytes(64), flags=WRITE)
    kind = t.Member("type", out.btf.add(t.Ptr(out.btf.add(t.Array(INT, INT, 2)))), 0)
    definition = out.btf.add(t.Struct("", 8, [kind]))
    out.variable(".maps", "other", definition, offset=0, size=8)
    return out, out.variable(".maps", "m", definition, offset=32, size=8)


@ORDERS
def test_map(little: bool) -> None:
    out, symbol = with_map(little=little)
    out.function("xdp", "f", [NOP, *ld_imm64(3), EXIT])
    out.relocate("xdp", 1, symbol)
    plan = planned(out)
    assert program(plan).slots == (Slot(12, "map:m"),)
    first, second = code(plan)[1:3]
    assert (first.dst, first.src, first.imm, second.imm) == (3, PseudoSrc.MAP_FD, 0, 0)


def test_map_that_is_not_created_poisons_its_users() -> None:
    out, symbol = with_map()
    out.function("xdp", "f", [*ld_imm64(3), EXIT])
    out.relocate("xdp", 0, symbol)
    spec = out.to_spec()
    spec.maps["m"].autocreate = False
    plan = make_plan(spec, kernel(make_btf()))
    assert code(plan)[:2] == [Insn(0x85, imm=POISON_MAP + 1)] * 2
    assert program(plan).slots == ()
    assert plan.notes["prog:f"][0].text == "poisoned: map m is not created: its autocreate is False"
    assert [map_.name for map_ in plan.maps] == ["other"]


@ORDERS
def test_variable(little: bool) -> None:
    out = ObjectWriter(little=little)
    out.section(".bss", type=NOBITS, size=64, flags=WRITE)
    symbol = out.variable(".bss", "v", LONG, offset=16, size=8)
    out.function("xdp", "f", [*ld_imm64(1, 4), *ld_imm64(2, 40), EXIT])
    out.relocate("xdp", 0, symbol)  # inside of v
    out.relocate("xdp", 2, out.section_symbol(".bss"))  # of a static one
    plan = planned(out)
    insns = code(plan)
    assert [(insn.src, insn.imm) for insn in insns[:4]] == [
        (PseudoSrc.MAP_VALUE, 0), (0, 20), (PseudoSrc.MAP_VALUE, 0), (0, 40),
    ]  # fmt: skip
    assert program(plan).slots == (Slot(4, "map:.bss"), Slot(20, "map:.bss"))


def test_reference_from_a_subprogram() -> None:
    out, symbol = with_map()
    sub = out.function(".text", "sub", [*ld_imm64(), EXIT])
    out.relocate(".text", 0, symbol)
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    assert program(planned(out)).slots == (Slot(2 * 8 + 4, "map:m"),)


def test_extern_of_the_kernel_configuration() -> None:
    out = ObjectWriter()
    for name in ("CONFIG_A", "CONFIG_B"):
        extern = out.extern(".kconfig", name, t.Var(name, INT, t.Var.EXTERN), size=4)
    out.function("xdp", "f", [*ld_imm64(1, 2), EXIT])
    out.relocate("xdp", 0, extern)
    plan = planned(out, kernel(make_btf(), kconfig="CONFIG_A=1\nCONFIG_B=2"))
    assert program(plan).slots == (Slot(4, "map:.kconfig"),)
    assert [(insn.src, insn.imm) for insn in code(plan)[:2]] == [(PseudoSrc.MAP_VALUE, 0), (0, 4 + 2)]


def ksym(type_id: int, *, weak: bool = False) -> ObjectWriter:
    out = ObjectWriter()
    extern = out.extern(".ksyms", "var", t.Var("var", type_id, t.Var.EXTERN), bind=STB_WEAK if weak else 1)
    out.function("xdp", "f", [*ld_imm64(), EXIT])
    out.relocate("xdp", 0, extern)
    return out


def test_symbol_of_the_kernel() -> None:
    plan = planned(ksym(0), kernel(make_btf(), ksyms={"var": [0xFFFFFFFF81234567]}))
    first, second = code(plan)[:2]
    assert (first.src, imm64(first, second)) == (0, 0xFFFFFFFF81234567)
    assert plan.notes["prog:f"][0].text == "ksym var: at 0xffffffff81234567"
    first, second = code(planned(ksym(0, weak=True)))[:2]
    assert (first.src, imm64(first, second)) == (0, 0)


def test_variable_of_the_kernel() -> None:
    vmlinux = make_btf(t.Var("var", INT))
    first, second = code(planned(ksym(INT), kernel(vmlinux)))[:2]
    assert (first.src, first.imm, second.imm) == (PseudoSrc.BTF_ID, FIRST, 0)
    module = make_btf(t.Var("var", INT), base=make_btf(), name="mod")
    plan = planned(ksym(INT), kernel(module.base, {"mod": module}))
    assert code(plan)[0].imm == FIRST
    assert program(plan).slots == (Slot(12, "module:mod"),)


def kfuncs(names: dict[str, bool]) -> ObjectWriter:
    out = ObjectWriter()
    symbols = [
        out.extern(".ksyms", name, t.Func(name, out.proto, t.Func.EXTERN), bind=STB_WEAK if weak else 1)
        for name, weak in names.items()
    ]
    out.function("xdp", "f", [*(call() for _ in names), EXIT])
    for slot, symbol in enumerate(symbols):
        out.relocate("xdp", slot, symbol, R_BPF_64_32)
    return out


def test_functions_of_the_kernel_and_of_modules() -> None:
    proto = t.FuncProto(INT, [t.Param("x", INT)])
    vmlinux = make_btf(proto, t.Func("core", FIRST))
    modules = {
        name: make_btf(*(t.Func(func, FIRST) for func in funcs), base=vmlinux, name=name)
        for name, funcs in {"one": ["a1", "a2"], "unused": [], "two": ["b1"]}.items()
    }
    plan = planned(kfuncs(dict.fromkeys(["core", "b1", "a2", "a1"], False)), kernel(vmlinux, modules))
    # fd_array holds the modules in the order of the externs, which is by name; place 0 is vmlinux's
    assert program(plan).fd_array == ("", "module:one", "module:two")
    end = vmlinux.end_id
    assert [(insn.src, insn.imm, insn.off) for insn in code(plan)[:-1]] == [
        (PseudoCall.KFUNC_CALL, FIRST + 1, 0),
        (PseudoCall.KFUNC_CALL, end, 2),
        (PseudoCall.KFUNC_CALL, end + 1, 1),
        (PseudoCall.KFUNC_CALL, end, 1),
    ]


def test_no_modules_no_fd_array() -> None:
    vmlinux = make_btf(t.FuncProto(INT, [t.Param("x", INT)]), t.Func("core", FIRST))
    assert program(planned(kfuncs({"core": False}), kernel(vmlinux))).fd_array == ()


def test_missing_weak_function_poisons_its_calls() -> None:
    plan = planned(kfuncs({"a": True, "b": True}))
    assert code(plan)[:2] == [Insn(0x85, imm=POISON_KFUNC), Insn(0x85, imm=POISON_KFUNC + 1)]
    assert plan.notes["prog:f"][1].text == "poisoned: kfunc b: weak, and not in the kernel"


@pytest.mark.parametrize("found", [True, False])
def test_address_of_a_kernel_function(found: bool) -> None:
    out = ObjectWriter()
    symbol = out.extern(".ksyms", "k", t.Func("k", out.proto, t.Func.EXTERN), bind=STB_WEAK)
    out.function("xdp", "f", [*ld_imm64(), EXIT])
    out.relocate("xdp", 0, symbol)
    types = (t.FuncProto(INT, [t.Param("x", INT)]), t.Func("k", FIRST)) if found else ()
    first, second = code(planned(out, kernel(make_btf(*types))))[:2]
    assert (first.src, first.imm, second.imm) == ((PseudoSrc.BTF_ID, FIRST + 1, 0) if found else (0, 0, 0))


def wrong_reference(edit: str) -> ObjectWriter:
    out = ObjectWriter()
    out.section(".bss", type=NOBITS, size=8, flags=WRITE)
    symbol = out.variable(".bss", "v", LONG, offset=0, size=8)
    insns = [*ld_imm64(), EXIT]
    match edit:
        case "at_an_add":
            insns = [Insn(0x07, imm=1), EXIT]
        case "at_a_helper_call":
            insns = [Insn(0x85, imm=1), EXIT]
        case "at_a_load_with_register_4":
            insns = [Insn(0x79, dst=1, src=4), EXIT]
        case "half_an_ld_imm64":
            insns = [Insn(0x18)]
        case "no_data":
            out.section("elsewhere", bytes(8))
            symbol = out.symbol("e", section=out.index("elsewhere"), type=STT_OBJECT)
        case "common_symbol":
            symbol = out.symbol("c", section=0xFFF2, type=STT_OBJECT)
    out.function("xdp", "f", insns)
    out.relocate("xdp", 0, symbol)
    return out


WRONG_REFERENCES = [
    ("at_an_add", "cannot hold it"),
    ("at_a_helper_call", "against 'v' in section .bss at .*cannot hold it"),
    ("at_a_load_with_register_4", "cannot hold it"),
    ("half_an_ld_imm64", "lacks its second half"),
    ("no_data", "'e' in section elsewhere is neither map nor variable"),
    ("common_symbol", "'c' in SHN_COMMON is neither map nor variable"),
]


@pytest.mark.parametrize(("edit", "text"), WRONG_REFERENCES, ids=[case[0] for case in WRONG_REFERENCES])
def test_wrong_reference(edit: str, text: str) -> None:
    with pytest.raises(RelocationError, match=text) as caught:
        planned(wrong_reference(edit))
    assert (caught.value.symbol, caught.value.insn) == ("f", 0)


@pytest.mark.parametrize(("edit", "way_out"), [("common_symbol", "-fno-common"), ("no_data", 'SEC(".data.x")')])
def test_way_out_of_a_wrong_reference(edit: str, way_out: str) -> None:
    with pytest.raises(RelocationError) as caught:
        planned(wrong_reference(edit))
    assert way_out in (caught.value.hint or "")


# -- CO-RE fixes


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
    plan = planned(out, kernel(make_btf(struct_type("s", ("x", INT, 20)), little=little)))
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
    assert len(planned(out).programs) == 1
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
        planned(out)


def test_kernel_without_types() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    local = out.btf.add(struct_type("s", ("x", INT, 4)))
    out.function("xdp", "f", [Insn(0xB7, imm=local), EXIT])
    out.core_relo("xdp", 0, local, "0", Kind.TYPE_ID_LOCAL)
    assert code(planned(out, kernel(None)))[0].imm == local
    out.core_relo("xdp", 0, local, "0", Kind.TYPE_EXISTS)
    with pytest.raises(RelocationError, match="CO-RE relocations, and the kernel has no BTF"):
        planned(out, kernel(None))


def test_other_types_for_relocations() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    local = out.btf.add(struct_type("s", ("x", INT, 4)))
    out.function("xdp", "f", [Insn(LDX_W, off=4), EXIT])
    out.core_relo("xdp", 0, local, "0:0", Kind.FIELD_BYTE_OFFSET)
    target = kernel(make_btf(struct_type("s", ("x", INT, 8))), {"mod": make_btf()})
    target.core_btf = make_btf(struct_type("s", ("x", INT, 12)), name="minimal")
    assert code(planned(out, target))[0].off == 12


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
