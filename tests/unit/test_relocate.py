# SPDX-License-Identifier: BSD-2-Clause
"""Maps, data and externs, put into instructions."""

from __future__ import annotations

import pytest
from elfwriter import EXIT, NOBITS, R_BPF_64_32, WRITE, ObjectWriter, call, ld_imm64
from kernelkit import kernel
from plankit import NOP, code, plan_of, program
from typekit import FIRST, INT, LONG, make_btf

from rawbpf.btf import types as t
from rawbpf.errors import RelocationError
from rawbpf.objfile.elf import STB_WEAK, STT_OBJECT
from rawbpf.objfile.insn import Insn, imm64
from rawbpf.plan.planner import make_plan
from rawbpf.plan.relocate import POISON_KFUNC, POISON_MAP
from rawbpf.plan.steps import Slot
from rawbpf.uapi import PseudoCall, PseudoSrc

ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])


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
    plan = plan_of(out)
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
    plan = plan_of(out)
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
    assert program(plan_of(out)).slots == (Slot(2 * 8 + 4, "map:m"),)


def test_extern_of_the_kernel_configuration() -> None:
    out = ObjectWriter()
    for name in ("CONFIG_A", "CONFIG_B"):
        extern = out.extern(".kconfig", name, t.Var(name, INT, t.Var.EXTERN), size=4)
    out.function("xdp", "f", [*ld_imm64(1, 2), EXIT])
    out.relocate("xdp", 0, extern)
    plan = plan_of(out, kernel(make_btf(), kconfig="CONFIG_A=1\nCONFIG_B=2"))
    assert program(plan).slots == (Slot(4, "map:.kconfig"),)
    assert [(insn.src, insn.imm) for insn in code(plan)[:2]] == [(PseudoSrc.MAP_VALUE, 0), (0, 4 + 2)]


def ksym(type_id: int, *, weak: bool = False) -> ObjectWriter:
    out = ObjectWriter()
    extern = out.extern(".ksyms", "var", t.Var("var", type_id, t.Var.EXTERN), bind=STB_WEAK if weak else 1)
    out.function("xdp", "f", [*ld_imm64(), EXIT])
    out.relocate("xdp", 0, extern)
    return out


def test_symbol_of_the_kernel() -> None:
    plan = plan_of(ksym(0), kernel(make_btf(), ksyms={"var": [0xFFFFFFFF81234567]}))
    first, second = code(plan)[:2]
    assert (first.src, imm64(first, second)) == (0, 0xFFFFFFFF81234567)
    assert plan.notes["prog:f"][0].text == "ksym var: at 0xffffffff81234567"
    first, second = code(plan_of(ksym(0, weak=True)))[:2]
    assert (first.src, imm64(first, second)) == (0, 0)


def test_variable_of_the_kernel() -> None:
    vmlinux = make_btf(t.Var("var", INT))
    first, second = code(plan_of(ksym(INT), kernel(vmlinux)))[:2]
    assert (first.src, first.imm, second.imm) == (PseudoSrc.BTF_ID, FIRST, 0)
    module = make_btf(t.Var("var", INT), base=make_btf(), name="mod")
    plan = plan_of(ksym(INT), kernel(module.base, {"mod": module}))
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
    plan = plan_of(kfuncs(dict.fromkeys(["core", "b1", "a2", "a1"], False)), kernel(vmlinux, modules))
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
    assert program(plan_of(kfuncs({"core": False}), kernel(vmlinux))).fd_array == ()


def test_missing_weak_function_poisons_its_calls() -> None:
    plan = plan_of(kfuncs({"a": True, "b": True}))
    assert code(plan)[:2] == [Insn(0x85, imm=POISON_KFUNC), Insn(0x85, imm=POISON_KFUNC + 1)]
    assert plan.notes["prog:f"][1].text == "poisoned: kfunc b: weak, and not in the kernel"


@pytest.mark.parametrize("found", [True, False])
def test_address_of_a_kernel_function(found: bool) -> None:
    out = ObjectWriter()
    symbol = out.extern(".ksyms", "k", t.Func("k", out.proto, t.Func.EXTERN), bind=STB_WEAK)
    out.function("xdp", "f", [*ld_imm64(), EXIT])
    out.relocate("xdp", 0, symbol)
    types = (t.FuncProto(INT, [t.Param("x", INT)]), t.Func("k", FIRST)) if found else ()
    first, second = code(plan_of(out, kernel(make_btf(*types))))[:2]
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
        plan_of(wrong_reference(edit))
    assert (caught.value.symbol, caught.value.insn) == ("f", 0)


@pytest.mark.parametrize(("edit", "way_out"), [("common_symbol", "-fno-common"), ("no_data", 'SEC(".data.x")')])
def test_way_out_of_a_wrong_reference(edit: str, way_out: str) -> None:
    with pytest.raises(RelocationError) as caught:
        plan_of(wrong_reference(edit))
    assert way_out in (caught.value.hint or "")
